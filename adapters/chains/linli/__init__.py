"""邻里药房联盟(示范): independent shops and village clinics without a system of their own; they work from our pages."""

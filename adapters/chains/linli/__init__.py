"""邻里药房联盟(示范): independent shops and village clinics without a computer system; they work from our pages."""

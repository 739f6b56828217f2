"""A county hospital without an interface engine: it exports files into a drop box."""

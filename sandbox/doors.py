"""The city's courier, and what stands at the end of an address, by which a courier finds the patient at home or not."""

COURIER = "jisong"
OUT_ALL_DAY = "(白天无人)"
"""The door stays shut at the first attempt."""
NEVER_THERE = "(长期无人)"
"""It stays shut at every attempt."""

"""Documents, and `docs.generated`, the program that prints those that come from the code."""

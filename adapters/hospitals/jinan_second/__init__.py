"""Demo City Second Hospital: the national e-prescription interface."""

"""Insurance centres: one folder per centre."""

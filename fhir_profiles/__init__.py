"""The contract we publish to hospitals, and the checker that enforces it."""

"""Couriers who bring what shops that have no courier send."""

"""Pharmacy chains: one folder per chain, and what all of them share on the wire."""

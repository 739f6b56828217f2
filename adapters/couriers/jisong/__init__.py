"""Jisong, a demo courier."""

"""Mutations of messages in each format, and what becomes of them. Knows no adapter: only files, and formats."""

"""The books: declared accounts, transfers between them, and one template per business event. Money is whole fen."""

"""The administrators' room: people and their roles, partners' tokens, the access log."""

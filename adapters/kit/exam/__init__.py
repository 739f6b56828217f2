"""The examination of a chain's interface: through its own adapter, over its real line."""

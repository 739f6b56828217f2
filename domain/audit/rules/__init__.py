"""The rules by subject. `domain.audit.RULES` lists them in their order."""

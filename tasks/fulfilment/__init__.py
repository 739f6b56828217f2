"""Fulfilment: the platform finds a pharmacy for what is open, has it filled, and settles what was handed over.

`domain.fulfilment.plan` says what is owed; the modules here carry it out, one move at a time.
"""

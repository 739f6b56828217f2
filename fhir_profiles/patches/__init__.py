"""Cures that need no judgement: a refused message put right where what it means is beyond doubt.

Only the way a value is written is changed: spaces, width, case, a system the contract fixes, a number in quotes, a
character encoding. Never a patient's identity, a drug, a dose, a quantity, a diagnosis or a date. A patched message is
offered only if the checker has no finding about it. The prescription waits for the search. So a message much larger or
with far more findings than usual is not searched, and each place is tried once in a round.
"""

"""The rules of the contract that no definition can express, in one file for each thing they are about.

Each rule is registered in `fhir_profiles.rules` as its file is imported; this package imports all of them.
"""

from fhir_profiles.checks import envelope, items, persons, prescriptions, statements, texts, visits

__all__ = ["envelope", "items", "persons", "prescriptions", "statements", "texts", "visits"]

"""What is known of drugs, and how its codes match: ATC prefixes, `DRUG:` ids, ICD-10 prefixes.

Blank in the tables is None or empty here and means unknown, never zero and never "no limit".
"""

"""Hospitals: one folder per hospital. What they send is checked by fhir_profiles; what they hear goes out from here."""

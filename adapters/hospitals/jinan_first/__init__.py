"""示范市第一医院: pushes FHIR R4, and hears what became of its prescriptions as JSON."""

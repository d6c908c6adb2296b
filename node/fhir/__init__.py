"""FHIR R4: what the index holds as ImagingStudy, and what others ask for it."""

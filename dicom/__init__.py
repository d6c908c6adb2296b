"""DICOM's own words as plain facts and pure functions; imports nothing else of the project."""

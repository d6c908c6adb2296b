"""Findings as DICOM objects that a PACS accepts."""

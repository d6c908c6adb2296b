"""Doors in beside DICOM: watched folders and bucket prefixes, all through the one spool."""

"""One DIMSE service per file."""

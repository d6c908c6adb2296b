"""The append-only log that holds every acknowledged object."""

"""Places that objects are delivered to, one file per kind."""

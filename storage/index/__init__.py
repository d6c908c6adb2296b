"""The DuckDB index that answers questions; derived, rebuilt from the spool at any time."""

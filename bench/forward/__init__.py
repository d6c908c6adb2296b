"""How fast objects leave: from the spool to a bucket, beside what engine and client reach alone."""

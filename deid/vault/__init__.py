"""The way back from pseudonyms: sealed originals, and results that get their identity again."""

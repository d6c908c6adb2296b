"""The lake: what Parquet files and events look like, how they are named, and how SQL finds them."""

"""The account of de-identification that a privacy officer reads, keeps and can check."""

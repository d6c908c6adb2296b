"""What is known of every Instance, and every job that is owed."""

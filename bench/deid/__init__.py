"""De-identification beside others: time per object in one run, and memory for a large one."""

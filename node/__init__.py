"""The running node: processes, doors, services, workers, command line."""

"""The worker process: the loop, and one handler per kind of job."""

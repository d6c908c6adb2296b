"""Real servers that tests, the demo and benchmarks start on loopback; one file per server."""

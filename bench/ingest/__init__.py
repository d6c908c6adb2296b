"""Receive rates side by side: the node, other storage SCPs, and the floor that the disk sets.

`python -m bench.ingest --help` says what can be measured; `make bench-ingest` measures it all and
writes docs/benchmarks.md. Everything happens on loopback, in one run on one machine.
"""

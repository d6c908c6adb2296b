"""The main job on real input, end to end, with real servers: what `make demo` runs."""

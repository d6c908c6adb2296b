"""A second pair of eyes: search files for given identity, sharing no code with the engine."""

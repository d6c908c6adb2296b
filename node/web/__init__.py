"""HTTP: signs of life, metrics, and the control socket of the command line."""

"""Decides, purely: which Series are complete, which rules match, which jobs follow."""

"""Facts of PS3.15 Annex E as data files, and their loader."""

"""Sealed rows of the vault on disk, and the trail of who asked for them."""

"""Subcommands of `penumbra model`, by what they are about."""

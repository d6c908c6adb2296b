"""The commands of `penumbra`, one file each, imported only when called."""

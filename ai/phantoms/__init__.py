"""Phantoms of the reference models: synthetic Series whose truth follows from their making."""

"""Faces on disk, and what happens to them on the way to the network."""

"""Faces in photographs: where they are, and which crop of each the networks are shown."""

"""The models: what they compute, and where their published versions lie."""

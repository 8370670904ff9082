"""Faces with expression labels: their sources, their packs, what is drawn from them."""

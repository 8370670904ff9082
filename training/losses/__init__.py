"""The training loss: which distances between an SR and an HR image count, and how much (III-E)."""

"""The expression of a face: networks that read it, and the alignment that is part of them."""

"""Per-face measures of an image against its original. A new one is one file beside these."""

"""A comparison written down: text for the terminal, JSON for programs, a page for readers."""

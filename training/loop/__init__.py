"""The training loop: steps, what is skipped, when it stops, what is recorded and averaged."""

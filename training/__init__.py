"""Makes checkpoints and publishes them as model versions. Imports model_store, never service."""

"""From a run to a published version, past a gate that compares it with the one it replaces."""

from training.publish.ensemble import EnsembleOptions, publish_ensemble
from training.publish.run import PublishOptions, publish_run

__all__ = ["EnsembleOptions", "PublishOptions", "publish_ensemble", "publish_run"]

"""Publishing networks that nobody trained, for tests that need a store with something in it."""

from torch import nn

from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore

UNTRAINED = TrainingRecord(
    start="nothing", data={}, data_digests={}, steps=0, images_seen=0, config={}
)


def publish_untrained(
    store: ModelStore,
    network: nn.Module,
    *,
    name: str,
    training: TrainingRecord = UNTRAINED,
) -> ModelManifest:
    """Publish a network as the next version of `name`."""
    return store.publish(
        network,
        name=name,
        metrics={"mean/psnr_gain_db": 1.25},
        training=training,
        licence="Research only",
        git_commit="abc",
    )

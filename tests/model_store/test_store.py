import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.errors import ChecksumMismatchError, ManifestError, ModelNotFoundError
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore

TINY = AffectSRNetConfig(
    scale=4, num_features=8, growth_channels=4, num_blocks=1, landmark_fusion=False
)
RECORD = TrainingRecord(
    start="nothing",
    data={"faces": 3},
    data_digests={"faces": "0" * 64},
    steps=2,
    images_seen=8,
    config={"max_steps": 2},
)
Publish = Callable[..., ModelManifest]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def publish(store: ModelStore) -> Publish:
    def publish_network(network: nn.Module, name: str = "tiny-x4") -> ModelManifest:
        return store.publish(
            network,
            name=name,
            metrics={"mean/psnr_gain_db": 1.25},
            training=RECORD,
            licence="Research only",
            git_commit="abc",
        )

    return publish_network


def test_a_published_network_loads_with_equal_outputs(store: ModelStore, publish: Publish) -> None:
    network = AffectSRNet(TINY).half().float().eval()  # versions are stored in half precision
    manifest = publish(network)
    loaded = store.load("tiny-x4@1")
    lr = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded.module(lr), network(lr))
    assert loaded.manifest == manifest == store.resolve("tiny-x4")
    assert manifest.reference == "tiny-x4@1"
    assert manifest.scale == 4
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())


def test_a_landmarker_with_its_buffers_survives_publication(
    store: ModelStore, publish: Publish
) -> None:
    landmarker = Landmarker(LandmarkerConfig(num_coefficients=5)).eval()
    landmarker.basis.normal_()
    landmarker.calibration.copy_(torch.tensor([2.0, -0.5]))
    publish(landmarker, name="landmarker")
    loaded = store.load("landmarker").module
    lr = torch.rand(2, 3, 16, 16)
    ours, theirs = landmarker(lr), loaded(lr)
    assert torch.allclose(ours.landmarks, theirs.landmarks, atol=5e-3)
    assert loaded.calibration.tolist() == [2.0, -0.5]


def test_versions_count_up_and_the_default_follows(store: ModelStore, publish: Publish) -> None:
    for _ in range(11):
        publish(AffectSRNet(TINY))
    assert store.versions("tiny-x4") == [str(v) for v in range(1, 12)]
    assert store.resolve("tiny-x4").version == "11"
    store.set_default("tiny-x4", "3")
    assert store.resolve("tiny-x4").version == "3"
    assert [m.reference for m in store.manifests()][-1] == "tiny-x4@11"


def test_unknown_references_are_named_with_what_there_is(
    store: ModelStore, publish: Publish
) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'x'; published: none"):
        store.resolve("x")
    publish(AffectSRNet(TINY))
    with pytest.raises(ModelNotFoundError, match="no model 'x'; published: tiny-x4"):
        store.resolve("x@1")
    with pytest.raises(ModelNotFoundError, match="no version '7'; published: 1"):
        store.load("tiny-x4@7")
    with pytest.raises(ModelNotFoundError, match="no version '2'"):
        store.set_default("tiny-x4", "2")


@pytest.mark.parametrize("reference", ["../store", "tiny-x4/1", "..", "tiny-x4@../1", "/etc"])
def test_a_reference_cannot_leave_the_store(
    store: ModelStore, publish: Publish, reference: str
) -> None:
    publish(AffectSRNet(TINY))
    with pytest.raises(ModelNotFoundError):
        store.resolve(reference)


def test_a_changed_weights_file_is_refused(
    store: ModelStore, publish: Publish, tmp_path: Path
) -> None:
    publish(AffectSRNet(TINY))
    weights = tmp_path / "store/tiny-x4/1/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ChecksumMismatchError, match=r"weights\.safetensors has sha256 .*restore"):
        store.load("tiny-x4")


@pytest.mark.parametrize("missing", ["weights.safetensors", "manifest.json"])
def test_a_half_written_version_is_refused(
    store: ModelStore, publish: Publish, tmp_path: Path, missing: str
) -> None:
    publish(AffectSRNet(TINY))
    (tmp_path / "store/tiny-x4/1" / missing).unlink()
    with pytest.raises(ManifestError, match=rf"{missing}.*not published completely"):
        store.load("tiny-x4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "no manifest of format 1"),
        ({"version": "2"}, r"says it is tiny-x4@2"),
        ({"scale": "four"}, "scale is 'four'"),
        ({"surprise": 1}, "does not fit this program"),
        ({"architecture": "resnet"}, "architecture is 'resnet'"),
        ({"config": {"scale": 3}}, "scale is 3"),
        ({"config": {"scale": 4, "num_features": 16}}, "does not fit its manifest"),
    ],
)
def test_a_manifest_that_contradicts_is_refused(
    store: ModelStore,
    publish: Publish,
    tmp_path: Path,
    change: dict[str, object],
    message: str,
) -> None:
    publish(AffectSRNet(TINY))
    path = tmp_path / "store/tiny-x4/1/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ManifestError, match=message):
        store.load("tiny-x4@1")


def test_a_reason_for_a_worse_version_is_kept_and_older_manifests_have_none(
    store: ModelStore, tmp_path: Path
) -> None:
    store.publish(
        AffectSRNet(TINY),
        name="tiny-x4",
        metrics={},
        training=RECORD,
        licence="Research only",
        git_commit="abc",
        allowed_worse="sharper to the eye",
    )
    assert store.resolve("tiny-x4").allowed_worse == "sharper to the eye"
    path = tmp_path / "store/tiny-x4/1/manifest.json"
    document = json.loads(path.read_text())
    del document["allowed_worse"]
    path.write_text(json.dumps(document))
    assert store.resolve("tiny-x4").allowed_worse == ""


def test_a_manifest_cut_short_is_refused(
    store: ModelStore, publish: Publish, tmp_path: Path
) -> None:
    publish(AffectSRNet(TINY))
    path = tmp_path / "store/tiny-x4/1/manifest.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(ManifestError, match=r"manifest\.json is no readable manifest"):
        store.resolve("tiny-x4")


def test_names_are_told_by_architecture(store: ModelStore, publish: Publish) -> None:
    sizes = LandmarkerConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1), num_coefficients=3)
    publish(Landmarker(sizes), name="landmarker")
    publish(AffectSRNet(TINY), name="b-x4")
    publish(AffectSRNet(TINY), name="a-x4")
    assert store.names_of("affectsrnet") == ["a-x4", "b-x4"]
    assert store.names_of("landmarker") == ["landmarker"]
    assert store.names_of("blazeface") == []


def test_a_default_that_names_nothing_is_refused(
    store: ModelStore, publish: Publish, tmp_path: Path
) -> None:
    publish(AffectSRNet(TINY))
    (tmp_path / "store/tiny-x4/default").unlink()
    with pytest.raises(ManifestError, match="must hold the version that 'tiny-x4' means"):
        store.resolve("tiny-x4")


def test_a_publication_that_fails_leaves_nothing(
    store: ModelStore, publish: Publish, tmp_path: Path
) -> None:
    network = AffectSRNet(TINY)
    torch.nn.init.constant_(network.conv_last.bias, float("nan"))
    with pytest.raises(ValueError, match=r"conv_last\.bias is not finite"):
        publish(network)
    with pytest.raises(ValueError, match="model name is '\u00dcber'"):
        publish(AffectSRNet(TINY), name="\u00dcber")
    with pytest.raises(ValueError, match="no architecture that can be published"):
        publish(nn.Linear(1, 1))
    assert store.names() == []
    assert not list((tmp_path / "store").rglob("*.safetensors"))


def test_versions_are_readable_by_other_users(
    store: ModelStore, publish: Publish, tmp_path: Path
) -> None:
    publish(AffectSRNet(TINY))
    folder = tmp_path / "store/tiny-x4/1"
    assert folder.stat().st_mode & 0o055 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.iterdir())


def test_manifests_are_values(publish: Publish) -> None:
    manifest = publish(AffectSRNet(TINY))
    assert replace(manifest, version="9") != manifest

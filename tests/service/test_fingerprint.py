"""What a fingerprint tells apart: real stores with tiny models, and every setting."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from model_store.manifest import ModelManifest
from model_store.store import ModelStore
from service.engine.base import EngineDescription, ServedVersion
from service.engine.loading import load_engine
from service.fingerprint import _INDIFFERENT, results_fingerprint
from service.settings import Settings
from tests.fakes import served_model
from tests.published import publish_untrained
from tests.service.tiny_models import (
    calibration_for,
    publish_tiny_models,
    tiny_classifier,
    tiny_landmarker,
    tiny_network,
)

TORCH = EngineDescription(name="torch", device="cpu", dtype="float32")


def fingerprint(
    settings: Settings | None = None,
    *,
    engine: EngineDescription = TORCH,
    served: Iterable[ServedVersion] = (),
    loaded: Mapping[str, ModelManifest] | None = None,
    release: str = "1",
) -> str:
    return results_fingerprint(
        settings or Settings(), engine=engine, served=served, loaded=loaded or {}, release=release
    )


def of_engine(root: Path) -> str:
    """Of an engine on a store of its own, as a process that starts now has it."""
    store, settings = ModelStore(root), Settings(models=("affectsrnet-x4",))
    load_engine(store, settings).close()
    return fingerprint(settings, loaded=store.loaded)


def test_new_version_of_whatever_an_engine_loads_changes_it(tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    upscaler, classifier = (
        store.resolve(name).weights_sha256 for name in ("affectsrnet-x4", "emotion-mobilefacenet")
    )
    seen = [of_engine(tmp_path)]
    assert of_engine(tmp_path) == seen[0]
    for name, network in (
        ("landmarker", tiny_landmarker(confidence_logit=2.0)),
        ("agreement-x4", calibration_for(upscaler, classifier)),
        ("emotion-mobilefacenet", tiny_classifier(seed=1)),
        ("affectsrnet-x4", tiny_network(4, landmark_fusion=False)),
    ):
        publish_untrained(store, network, name=name)
        seen.append(of_engine(tmp_path))
    assert len(set(seen)) == len(seen)


def test_kind_of_device_and_arithmetic_change_it_and_the_devices_number_does_not() -> None:
    seen = {
        fingerprint(engine=engine)
        for engine in (
            TORCH,
            replace(TORCH, name="openvino"),
            replace(TORCH, dtype="bfloat16"),
            replace(TORCH, device="cuda:0"),
        )
    }
    assert len(seen) == 4
    assert fingerprint(engine=replace(TORCH, device="cuda:1")) in seen


def test_release_and_order_of_the_models_change_it() -> None:
    models = [served_model(version="1"), served_model(version="2")]
    seen = {
        fingerprint(served=models),
        fingerprint(served=models[::-1]),
        fingerprint(served=models, release="2"),
    }
    assert len(seen) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"min_landmark_confidence": 0.4},
        {"landmarks": "mediapipe"},
        {"cpu_dtype": "float32"},
        {"device": "cpu"},
        {"max_image_side_px": 512},
    ],
)
def test_setting_that_results_depend_on_changes_it(changed: dict[str, object]) -> None:
    assert fingerprint(Settings.model_validate(changed)) != fingerprint()


def test_setting_that_they_do_not_depend_on_leaves_it(tmp_path: Path) -> None:
    changed = {"http_port": 1, "queue_capacity": 99, "redis_url": "redis://x", "cache": "local"}
    assert fingerprint(Settings.model_validate(changed)) == fingerprint()


def test_settings_that_are_left_out_exist() -> None:
    assert Settings.model_fields.keys() >= _INDIFFERENT

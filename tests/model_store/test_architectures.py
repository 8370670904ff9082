from dataclasses import asdict

import pytest
from torch import nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.architectures import build_network, needs_landmarks, network_config
from tests.tiny_baselines import BASELINES, tiny_baseline, tiny_configs


@pytest.mark.parametrize("architecture", BASELINES)
def test_a_network_is_built_again_from_what_is_said_of_it(architecture: str) -> None:
    network = tiny_baseline(architecture, scale=4)
    name, config = network_config(network)
    again = build_network(name, config)
    assert name == architecture
    assert again.config == network.config
    assert type(again) is type(network)


def test_what_a_manifest_holds_as_lists_becomes_tuples() -> None:
    config = {**asdict(tiny_configs(4)["srcnn"]), "kernel_sizes": [5, 1, 3]}
    assert build_network("srcnn", config).config == tiny_configs(4)["srcnn"]


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(ValueError, match="architecture is 'resnet'; known: affectsrnet, srcnn"):
        build_network("resnet", {})
    with pytest.raises(ValueError, match=r"configuration of edsr: .*'depth'"):
        build_network("edsr", {"scale": 4, "depth": 3})
    with pytest.raises(ValueError, match="Linear is no architecture that can be published"):
        network_config(nn.Linear(1, 1))


def test_only_a_network_that_fuses_landmarks_needs_them() -> None:
    assert needs_landmarks(AffectSRNetConfig(scale=4))
    assert not needs_landmarks(AffectSRNetConfig(scale=4, landmark_fusion=False))
    assert not any(needs_landmarks(config) for config in tiny_configs(4).values())

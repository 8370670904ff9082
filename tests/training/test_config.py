from pathlib import Path

import pytest

from model_store.baselines.edsr import EDSRConfig
from training.config import (
    LossConfig,
    SuperResolutionTaskConfig,
    TrainConfig,
    config_document,
    load_config,
    parse_config,
)
from training.errors import ConfigError

CONFIGS_FOLDER = Path(__file__).parents[2] / "training" / "configs"
CONFIGS = sorted(CONFIGS_FOLDER.glob("*.toml"))
MINIMAL = """
name = "run"
max_steps = 10
batch_size = 2
[task]
kind = "super_resolution"
[task.network]
scale = 8
[data]
packs = ["faces"]
"""


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_understood(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert parse_config(config_document(config)) == config


@pytest.mark.parametrize("scale", [4, 8])
@pytest.mark.parametrize("rival", ["srcnn", "edsr", "fsrnet", "dic", "sparnet"])
def test_rivals_learn_from_the_same_faces_by_the_same_loss_as_ours(rival: str, scale: int) -> None:
    ours, theirs = (
        load_config(CONFIGS_FOLDER / f"{name}-x{scale}{ending}.toml")
        for name, ending in (("affectsrnet", "-scratch"), (rival, ""))
    )
    assert isinstance(ours.task, SuperResolutionTaskConfig)
    assert isinstance(theirs.task, SuperResolutionTaskConfig)
    assert (theirs.task.network.architecture, theirs.task.network.scale) == (rival, scale)
    assert theirs.task.loss == ours.task.loss
    for name in ("data", "augmentation", "degradation", "max_steps", "batch_size", "seed"):
        assert getattr(theirs, name) == getattr(ours, name), name


def test_a_configuration_survives_as_a_document(minimal: Path) -> None:
    config = load_config(minimal)
    assert parse_config(config_document(config)) == config


def test_overrides_reach_any_depth(minimal: Path) -> None:
    config = load_config(
        minimal, ["max_steps=5", "optimizer.learning_rate=1", "task.network.graph_map=pooled"]
    )
    assert config.max_steps == 5
    assert config.optimizer.learning_rate == 1.0
    assert isinstance(config.task, SuperResolutionTaskConfig)
    assert config.task.network.graph_map == "pooled"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_step=5", "config: unknown key max_step; known: name"),
        ("optimizer.rate=1", r"config\.optimizer: unknown key rate"),
        ("task.network.scale=3", r"config\.task\.network: scale is 3"),
        ("task.network.graph_map=heat", "graph_map is 'heat'; it must be one of"),
        ("task.network.architecture=gan", r"network\.architecture is 'gan'; .* affectsrnet, srcnn"),
        ("task.network=3", r"config\.task\.network is 3; it must be a section"),
        ("task.loss.style_weight=1", r"config\.task\.loss: unknown key style_weight"),
        ("task.loss.gram_weight=-1", r"config\.task\.loss: gram_weight is -1\.0; it must be"),
        ("task.loss.perceptual=alex", "perceptual is 'alex'; it must be one of"),
        ("task.kind=gan", "kind is 'gan'; it must be one of super_resolution, landmarks"),
        ("optimizer.sam_radius=-1", r"sam_radius is -1\.0; it must be a number of at least 0"),
        ("batch_size=2.5", "batch_size is 2.5; it must be a int"),
        ("batch_size=true", "batch_size is True; it must be a int"),
        ("data.packs=faces", "packs is 'faces'; it must be a list"),
        ("data=3", "data is 3; it must be a section"),
        ("max_steps", "not of the form section.key=value"),
        ("name.first=1", "name is no section"),
    ],
)
def test_what_is_not_understood_is_named(minimal: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(minimal, [override])


@pytest.mark.parametrize("network", ["architecture=edsr", "landmark_fusion=false"])
def test_a_landmark_curriculum_needs_a_network_that_takes_landmarks(
    minimal: Path, network: str
) -> None:
    curriculum = "task.landmark_curriculum.teacher_steps=5"
    load_config(minimal, [curriculum])
    with pytest.raises(ConfigError, match=r"teacher_steps is 5, but this .* takes no landmarks"):
        load_config(minimal, [f"task.network.{network}", curriculum])


def test_a_network_of_no_named_architecture_is_affectsrnet(minimal: Path) -> None:
    document = config_document(load_config(minimal))
    del document["task"]["network"]["architecture"]  # as in checkpoints from before the baselines
    assert parse_config(document) == load_config(minimal)


def test_a_network_is_chosen_by_its_architecture(minimal: Path) -> None:
    config = load_config(minimal, ["task.network.architecture=edsr", "task.network.num_blocks=4"])
    assert isinstance(config.task, SuperResolutionTaskConfig)
    assert config.task.network == EDSRConfig(scale=8, num_blocks=4)


def test_a_pixel_loss_where_it_stood_before_there_were_other_terms_is_taken(
    minimal: Path,
) -> None:
    config = load_config(minimal, ["task.pixel_loss=psnr"])
    assert isinstance(config.task, SuperResolutionTaskConfig)
    assert config.task.loss == LossConfig(pixel="psnr")
    with pytest.raises(ConfigError, match="task: unknown key pixel_loss"):
        load_config(minimal, ["task.pixel_loss=psnr", "task.loss.pixel=l1"])


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(MINIMAL.replace("max_steps = 10", ""))
    with pytest.raises(ConfigError, match="missing key max_steps"):
        load_config(path)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("name = ")
    with pytest.raises(ConfigError, match=r"cannot read config .*run\.toml"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot read config"):
        load_config(tmp_path / "absent.toml")


def test_tiny_is_a_whole_configuration(tiny_config: TrainConfig) -> None:
    assert parse_config(config_document(tiny_config)) == tiny_config


def test_the_blind_degradation_is_chosen_by_kind_and_its_rounds_are_told_whole(
    minimal: Path,
) -> None:
    blind = load_config(minimal, ["degradation.kind=blind"]).degradation
    assert blind.kind == "blind"
    shipped = [load_config(path) for path in CONFIGS if path.stem.endswith("-real")]
    assert [config.degradation for config in shipped] == [blind, blind]
    with pytest.raises(ConfigError, match=r"degradation\.blind\.first: missing key blur_sigma"):
        load_config(minimal, ["degradation.blind.first.blur_probability=1"])


@pytest.mark.parametrize("ends", ["[3, 2]", "[1]", "[-1, 2]"])
def test_a_range_has_two_ends_in_order(ends: str) -> None:
    path = next(path for path in CONFIGS if path.stem == "affectsrnet-x4-real")
    with pytest.raises(ConfigError, match=r"second: noise_sigma is \[.*must be \[low, high\]"):
        load_config(path, [f"degradation.blind.second.noise_sigma={ends}"])

from itertools import product
from pathlib import Path

import pytest

from training.config import load_config
from training.errors import ConfigError
from training.study.plan import load_study

STUDIES = Path(__file__).resolve().parents[3] / "training" / "studies"

STUDY = """
title = "A study"
tests = ["celeba"]
max_minutes = 2
set = ["task.network.scale={scale}"]

[[rows]]
label = "Plain"
method = "SPARNet"
config = "base.toml"
set = ["max_steps=5"]

[[rows]]
label = "Plain + loss"
config = "base.toml"
init = "row:Plain"
max_minutes = 1

[[rows]]
label = "Published"
scales = [8]
component = "RRDB"
model = "affectsrnet-x{scale}@1"
landmarks = ["lr", "mean"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "My study.toml"
    path.write_text(text)
    return path


def test_a_study_is_laid_out_scale_by_scale(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, STUDY))
    assert study.name == "my-study"
    assert [(row.label, row.scale) for row in study.rows] == [
        ("Plain", 4),
        ("Plain + loss", 4),
        ("Plain", 8),
        ("Plain + loss", 8),
        ("Published", 8),
    ]
    plain, tuned, *_, published = study.rows
    assert plain.run_name == "my-study-plain-x4"
    assert plain.config == tmp_path / "base.toml"
    assert plain.overrides == ("task.network.scale=4", "max_steps=5")
    assert plain.max_minutes == 2
    assert plain.init is None
    assert (tuned.init, tuned.is_init_row, tuned.max_minutes) == ("my-study-plain-x4", True, 1)
    assert published.model == "affectsrnet-x8@1"
    assert published.config is None
    assert published.landmarks == ("lr", "mean")
    assert published.component == "RRDB"
    assert published.method is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title =", "titel ="), r"study: unknown key titel; known: title, tests, rows"),
        (('tests = ["celeba"]', ""), "study: missing key tests"),
        (('tests = ["celeba"]', "tests = []"), "study.tests and study.rows need at least one"),
        (("max_minutes = 2", "scales = [3]"), r"study.scales is \[3\]; it must be of 4 and 8"),
        (('method = "SPARNet"', 'method = "GAN"'), r"study.rows.method is 'GAN'; .*'SPARNet'"),
        (('component = "RRDB"', 'component = "Head"'), "component is 'Head'; it must be one of"),
        (('"lr", "mean"', '"lr", "average"'), "landmarks is 'average'; .*'shuffled'"),
        (('label = "Published"', 'label = "plain!"'), "labels must differ"),
        (('label = "Published"', 'label = "Bicubic"'), "differ from bicubic, which is always"),
        (('init = "row:Plain"', 'init = "row:Plane"'), "init is no earlier row that is trained"),
        (('init = "row:Plain"', 'init = "row:Published"'), "init is no earlier row"),
        (
            ('model = "affectsrnet', 'config = "a.toml"\nmodel = "a'),
            "either a config .* or a model",
        ),
        (('landmarks = ["lr", "mean"]', 'init = "x@1"'), "belong to a config, not a model"),
        (("scales = [8]", "scales = [4]"), "Table III is of x8; add it to its scales"),
        (("scales = [8]", "scales = [8, 2]"), r"scales \[2\] are not of study.scales; add them"),
        (('title = "A study"', "title = 3"), "study.title is 3; it must be a str"),
        (("[[rows]]", "[[rows"), "cannot read study"),
    ],
)
def test_what_is_not_understood_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    old, new = change
    assert old in STUDY
    with pytest.raises(ConfigError, match=message):
        load_study(write(tmp_path, STUDY.replace(old, new, 1)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read study .*absent\.toml"):
        load_study(tmp_path / "absent.toml")


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_published_studies_describe_runs_that_can_be_built(path: Path) -> None:
    for row in load_study(path).rows:
        assert row.config is not None
        config = load_config(row.config, row.overrides)
        assert config.task.kind == "super_resolution"
        assert config.task.network.scale == row.scale


@pytest.mark.parametrize("name", ["quick", "ablation", "ablation-short", "landmarks", "paper"])
def test_what_judges_the_landmark_branch_has_its_controls(name: str) -> None:
    study = load_study(STUDIES / f"{name}.toml")
    controls = {c for row in study.rows for c in row.landmarks}
    assert {"lr", "none", "mean", "shuffled"} <= controls


@pytest.mark.parametrize("name", ["quick", "ablation", "ablation-short", "paper"])
def test_the_ablations_have_every_row_of_table_iii(name: str) -> None:
    study = load_study(STUDIES / f"{name}.toml")
    assert {row.component for row in study.rows if row.component} == {
        "RRDB",
        "RRDB + Instance Norm",
        "RRDB + Instance Norm + MSAF + GCN",
    }


@pytest.mark.parametrize(
    ("name", "scales"), [("quick", {4, 8}), ("paper", {4, 8}), ("paper-short", {8})]
)
def test_the_comparisons_have_every_method_of_tables_i_and_ii(name: str, scales: set[int]) -> None:
    study = load_study(STUDIES / f"{name}.toml")
    methods = ("SRCNN", "EDSR", "FSRNet", "DIC", "SPARNet", "AffectSRNet")
    found = {(row.method, row.scale) for row in study.rows if row.method}
    assert found == set(product(methods, scales))

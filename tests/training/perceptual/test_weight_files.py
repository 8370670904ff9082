from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from training.errors import FeatureWeightsError
from training.perceptual.lpips import load_squeeze_lpips
from training.perceptual.squeezenet import SqueezeNetFeatures
from training.perceptual.weight_files import (
    FEATURE_WEIGHTS_VARIABLE,
    WeightFile,
    feature_weights_folder,
    read_weights,
    weights_digest,
)

WEIGHTS = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
EXPECTED = {name: value.shape for name, value in WEIGHTS.items()}
FILE = WeightFile(
    names=("net.pth", "net-1234.pth"),
    content="a network's tensors",
    source="https://example.org/net-1234.pth",
    digest=weights_digest(WEIGHTS),
)
REMEDY = "it must be a network's tensors, to be had from https://example.org/net-1234.pth"


def test_a_file_is_found_under_any_of_its_names_and_may_hold_more(tmp_path: Path) -> None:
    torch.save({**WEIGHTS, "classifier": torch.ones(3)}, tmp_path / "net-1234.pth")
    read = read_weights(tmp_path, FILE, expected=EXPECTED)
    assert read.keys() == WEIGHTS.keys()
    assert all(torch.equal(read[name], WEIGHTS[name]) for name in WEIGHTS)


def test_the_digest_depends_on_names_and_values_alone() -> None:
    digest = weights_digest(WEIGHTS)
    assert digest == weights_digest(dict(reversed(WEIGHTS.items())))
    assert digest == weights_digest({n: v.double() for n, v in WEIGHTS.items()})
    assert digest != weights_digest({**WEIGHTS, "b": torch.tensor([1.0, 1.001])})
    assert digest != weights_digest({"a": WEIGHTS["a"], "c": WEIGHTS["b"]})


def test_a_missing_file_is_named_with_what_it_must_be_and_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FeatureWeightsError) as caught:
        read_weights(tmp_path, FILE, expected=EXPECTED)
    assert str(caught.value) == f"{tmp_path} has no net.pth or net-1234.pth; {REMEDY}"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": WEIGHTS["a"]}, r"b is missing, not of shape \(2,\)"),
        ({**WEIGHTS, "a": torch.ones(3, 2)}, r"a is of shape \(3, 2\), not of shape \(2, 3\)"),
        ([1, 2], r"a is missing"),
        ({**WEIGHTS, "b": torch.zeros(2)}, "holds weights of other values"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, stored: object, message: str) -> None:
    torch.save(stored, tmp_path / "net.pth")
    with pytest.raises(FeatureWeightsError, match=message) as caught:
        read_weights(tmp_path, FILE, expected=EXPECTED)
    assert str(caught.value).startswith(f"{tmp_path / 'net.pth'}")
    assert str(caught.value).endswith(REMEDY)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_a_file_that_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(FeatureWeightsError, match=r"net\.pth cannot be read; it must be"):
        read_weights(tmp_path, FILE, expected=EXPECTED)


def test_a_file_may_be_known_by_the_digest_in_its_published_name(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(WEIGHTS, path)
    known = replace(FILE, digest=None, file_digest=sha256(path.read_bytes()).hexdigest()[:8])
    assert read_weights(tmp_path, known, expected=EXPECTED).keys() == WEIGHTS.keys()
    for unknown in (replace(known, file_digest="01234567"), replace(known, file_digest=None)):
        with pytest.raises(FeatureWeightsError, match="holds weights of other values"):
            read_weights(tmp_path, unknown, expected=EXPECTED)


def test_the_folder_is_the_named_one_or_else_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FEATURE_WEIGHTS_VARIABLE, raising=False)
    with pytest.raises(FeatureWeightsError, match="name it by --feature-weights or in AFFECTSR_"):
        feature_weights_folder()
    monkeypatch.setenv(FEATURE_WEIGHTS_VARIABLE, str(tmp_path))
    assert feature_weights_folder() == tmp_path
    other = tmp_path / "other"
    other.mkdir()
    assert feature_weights_folder(other) == other
    with pytest.raises(FeatureWeightsError, match="absent, does not exist"):
        feature_weights_folder(tmp_path / "absent")


def test_lpips_refuses_a_backbone_of_other_values(tmp_path: Path) -> None:
    torch.save(SqueezeNetFeatures().state_dict(), tmp_path / "squeezenet1_1_features.pth")
    with pytest.raises(FeatureWeightsError, match=r"must be torchvision's SqueezeNet 1\.1"):
        load_squeeze_lpips(tmp_path)

import pytest
import torch

from training.precision import forward_autocast, resolve_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("reason", "expected"), [(None, "bfloat16"), ("slower", "float32")])
def test_auto_takes_bfloat16_where_the_cpu_gains_by_it(
    reason: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.precision.why_not_bfloat16", lambda: reason)
    assert resolve_precision("auto", CPU) == expected
    with forward_autocast(CPU, precision="auto"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if expected == "bfloat16" else torch.float32)


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float32"), ((8, 0), "bfloat16")])
def test_auto_takes_bfloat16_from_ampere_on(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision("auto", torch.device("cuda", 0)) == expected


def test_what_is_named_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.precision.why_not_bfloat16", lambda: "slower")
    assert resolve_precision("bfloat16", CPU) == "bfloat16"
    assert resolve_precision("float32", CPU) == "float32"

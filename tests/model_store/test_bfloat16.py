from collections.abc import Iterator

import pytest
import torch

from model_store.bfloat16 import _time_over_float32, why_not_bfloat16


@pytest.fixture(autouse=True)
def forget_cpu() -> Iterator[None]:
    why_not_bfloat16.cache_clear()
    yield
    why_not_bfloat16.cache_clear()


@pytest.mark.parametrize("capabilities", [{}, {"avx2": True, "avx512_bf16": False}])
def test_cpu_without_the_instructions_is_not_timed(
    capabilities: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr("model_store.bfloat16._time_over_float32", lambda: 0.1)
    assert why_not_bfloat16() == "this CPU does not compute in bfloat16"


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        (0.3, None),
        (0.95, "this CPU is no faster in bfloat16 than in float32"),
        (1.7, "this CPU is no faster in bfloat16 than in float32"),
    ],
)
def test_instructions_count_where_they_save_time(
    instructions: str, ratio: float, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instructions: True})
    monkeypatch.setattr("model_store.bfloat16._time_over_float32", lambda: ratio)
    assert why_not_bfloat16() == reason


def test_convolutions_are_timed_in_both() -> None:
    # Emulated it may be a hundred times as long, on AMX a tenth.
    assert 0.02 < _time_over_float32() < 1000

import math
import random as random_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.emotion.ecm import (
    MAX_PAIRS,
    EcmSums,
    bootstrap_interval,
    emotion_consistency,
    pair_measures,
)
from model_store.emotion.ecm.sums import NATS
from tests.model_store.emotion.ecm.slow_reference import Array, noisy_pairs, pairs


@given(pairs())
def test_sums_give_the_metric_of_the_rows(sides: tuple[Array, Array]) -> None:
    rows, sums = emotion_consistency(*sides), EcmSums.of(*sides).result()
    assert sums.l_h == rows.l_h
    assert sums.l_h_by_class == rows.l_h_by_class
    assert sums.n == rows.n
    assert abs(sums.l_conf - rows.l_conf) <= 0.5 / NATS + 1e-15


def test_sums_give_the_metric_of_many_rows() -> None:
    sides = noisy_pairs(10_000, seed=0, noise=1.0, bias=0.5)
    rows, sums = emotion_consistency(*sides), EcmSums.of(*sides)
    assert sums.result().l_h == rows.l_h
    assert sums.result().ecm == pytest.approx(rows.ecm, abs=1e-10)
    agrees = pair_measures(*sides).top1_agrees
    assert sums.num_agreeing == agrees.sum()


@given(pairs(min_size=2), st.data())
def test_adding_in_any_order_and_portions_gives_the_very_same_sums(
    sides: tuple[Array, Array], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(sides[0]))))
    cut = data.draw(st.integers(1, len(order) - 1))
    first, second = ([side[order[:cut]] for side in sides], [side[order[cut:]] for side in sides])
    whole = EcmSums.of(*sides).to_fields()
    assert EcmSums.of(*first).add(*second).to_fields() == whole
    assert EcmSums.of(*second).merge(EcmSums.of(*first)).to_fields() == whole


def test_fields_add_up_as_a_store_of_counters_adds_them() -> None:
    portions = [noisy_pairs(5, seed=s, noise=1.0) for s in range(40)]
    counters: dict[str, int] = {}
    random_module.Random(0).shuffle(portions)
    for portion in portions:
        for name, value in EcmSums.of(*portion).to_fields().items():
            assert value != 0
            counters[name] = counters.get(name, 0) + value
    together = EcmSums.of(*(np.concatenate(side) for side in zip(*portions, strict=True)))
    read = EcmSums.from_fields(counters, num_classes=7)
    assert read.to_fields() == together.to_fields()
    assert read.result() == together.result()
    assert read.interval() == together.interval()


def test_one_pair_is_some_hundred_fields_and_a_large_set_some_thousand() -> None:
    assert len(EcmSums.of(*noisy_pairs(1, seed=0, noise=1.0)).to_fields()) < 150
    assert len(EcmSums.of(*noisy_pairs(5_000, seed=0, noise=1.0)).to_fields()) < 2_900


def test_pairs_are_told_apart_by_the_expression_of_their_original() -> None:
    original = [[0.9, 0.1], [0.8, 0.2], [0.0, 1.0]]
    super_resolved = [[0.7, 0.3], [0.4, 0.6], [0.0, 1.0]]
    first, second = EcmSums.of(original, super_resolved).by_expression()
    entropies = pair_measures(original, super_resolved).entropy_difference
    assert (first.index, first.n, first.num_kept) == (0, 2, 1)
    assert first.mean_entropy_difference == pytest.approx(entropies[:2].mean())
    assert (second.index, second.n, second.num_kept) == (1, 1, 1)
    assert second.mean_entropy_difference == 0
    by_class = emotion_consistency(original, super_resolved).l_h_by_class
    assert (first.l_h, second.l_h) == by_class


def test_an_expression_that_no_original_shows_has_no_mean() -> None:
    _, second = EcmSums.of([[0.9, 0.1]], [[0.2, 0.8]]).by_expression()
    assert (second.n, second.num_kept, second.mean_entropy_difference) == (0, 0, None)


def test_a_set_without_a_pair_has_no_metric() -> None:
    empty = EcmSums.empty(7)
    assert empty.n == 0
    assert empty.to_fields() == {}
    for ask in (empty.result, empty.interval, empty.by_expression):
        with pytest.raises(ValueError, match="the set holds no pair; add one"):
            ask()


def test_identical_sides_are_degenerate() -> None:
    sides = noisy_pairs(5, seed=0, noise=1.0)
    sums = EcmSums.of(sides[0], sides[0])
    assert sums.result().degenerate
    assert sums.interval() is None


def test_one_pair_has_no_interval() -> None:
    assert EcmSums.of(*noisy_pairs(1, seed=0, noise=1.0)).interval() is None


def test_sets_of_two_classifiers_cannot_be_merged() -> None:
    with pytest.raises(ValueError, match="sums over 7 and 3 classes are of two classifiers"):
        EcmSums.empty(7).add([[1, 0, 0]], [[0, 1, 0]])
    with pytest.raises(ValueError, match="17 classes; sums hold 1 to 16"):
        EcmSums.empty(17)


def test_a_set_is_full_before_its_numbers_leave_64_bits() -> None:
    full = EcmSums.from_fields({"confusion:0:0": MAX_PAIRS}, num_classes=2)
    with pytest.raises(ValueError, match=r"16,777,217 pairs; one set holds at most 16,777,216"):
        full.add([[1, 0]], [[0, 1]])
    largest = math.log(16) ** 2 * NATS * MAX_PAIRS
    assert largest < 2**63


@pytest.mark.parametrize("field", ["rows:0", "confusion:0", "confusion:0:7", "confusion:-1:0", "n"])
def test_a_field_of_another_layout_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"'{field}' is no field of sums over 7 classes"):
        EcmSums.from_fields({field: 1}, num_classes=7)


@pytest.mark.parametrize("count", [100, 400])
@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_the_interval_from_sums_is_that_of_the_rows(count: int, bias: float) -> None:
    widths = []
    for seed in range(10):
        sides = noisy_pairs(count, seed=seed, noise=1.0, bias=bias)
        sums, rows = EcmSums.of(*sides).interval(), bootstrap_interval(*sides)
        assert sums is not None
        assert rows is not None
        assert sums.num_draws == 0
        widths.append((sums.high - sums.low) / (rows.high - rows.low))
        overlap = min(sums.high, rows.high) - max(sums.low, rows.low)
        assert overlap > 0.8 * (rows.high - rows.low)
    assert 0.9 < np.mean(widths) < 1.1


@pytest.mark.slow
def test_19_of_20_intervals_from_sums_hold_the_metric_of_sets_of_that_size() -> None:
    for count, bias in ((50, 0.0), (50, 1.0), (250, 0.5)):
        sums = [EcmSums.of(*noisy_pairs(count, seed=s, noise=1.0, bias=bias)) for s in range(400)]
        centre = np.mean([s.result().ecm for s in sums])
        found = [s.interval() for s in sums]
        covered = np.mean([i is not None and i.low <= centre <= i.high for i in found])
        assert 0.92 <= covered <= 1.0

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.base import Resampling
from service.engine.grid import GridPlacement


def placement(width: int, height: int, *, grid_px: int = 32, scale: int = 4) -> GridPlacement:
    return GridPlacement(width=width, height=height, grid_px=grid_px, scale=scale)


def test_image_of_the_grids_size_is_left_alone() -> None:
    placed = placement(32, 32)
    assert placed.padding == (0, 0, 0, 0)
    assert placed.resampling is None
    assert placed.output_box == (0, 0, 128, 128)


def test_narrow_image_of_the_grids_height_is_padded_and_not_resampled() -> None:
    placed = placement(24, 32)
    assert placed.padding == (4, 4, 0, 0)
    assert placed.resampling is None
    assert placed.output_box == (16, 0, 112, 128)


def test_other_sizes_are_resampled_and_say_so() -> None:
    placed = placement(40, 48)
    assert placed.padding == (4, 4, 0, 0)
    assert placed.resampling == Resampling(from_width=40, from_height=48, to_width=32, to_height=32)
    assert placed.output_box == (11, 0, 118, 128)


def test_odd_padding_gives_the_second_side_one_more() -> None:
    assert placement(32, 27).padding == (0, 0, 2, 3)


@given(st.integers(1, 1024), st.integers(1, 1024), st.sampled_from([(32, 4), (16, 8)]))
def test_output_keeps_the_aspect_and_lies_inside_the_square(
    width: int, height: int, grid: tuple[int, int]
) -> None:
    placed = placement(width, height, grid_px=grid[0], scale=grid[1])
    left, top, right, bottom = placed.output_box
    assert 0 <= left < right <= 128
    assert 0 <= top < bottom <= 128
    assert max(right - left, bottom - top) == 128
    factor = 128 / max(width, height)
    assert right - left == pytest.approx(width * factor, abs=1)
    assert bottom - top == pytest.approx(height * factor, abs=1)

import numpy as np
import pytest

from model_store.faces.pyramid import cut_tiles, plan_levels, smallest_face_px
from tests.service.support import noise

UNBOUNDED = 10**9


def test_a_small_photo_is_enlarged_and_halved_until_little_is_left() -> None:
    levels = plan_levels(200, 100, min_face_px=10, max_level_pixels=UNBOUNDED)
    assert [(level.width, level.height) for level in levels] == [(560, 280), (280, 140), (140, 70)]
    assert levels[0].scale_x == 2.8
    assert smallest_face_px(levels) == pytest.approx(10)


def test_a_large_photo_is_not_seen_larger_than_the_bound() -> None:
    levels = plan_levels(4000, 3000, min_face_px=12, max_level_pixels=1_000_000)
    assert levels[0].width * levels[0].height <= 1_000_000
    assert smallest_face_px(levels) == pytest.approx(28 * 4000 / levels[0].width)
    assert 96 <= levels[-1].width < 192


@pytest.mark.parametrize("size", [(8, 8), (1, 300), (700, 40), (1500, 900), (3001, 707)])
def test_tiles_show_every_pixel_of_every_level_as_it_is(size: tuple[int, int]) -> None:
    width, height = size
    photo = noise(width, height)
    levels = plan_levels(width, height, min_face_px=28, max_level_pixels=UNBOUNDED)
    seen = np.zeros((height, width), bool)
    for tile in cut_tiles(photo, levels[:1]):
        rows, columns = tile.pixels.shape[:2]
        assert rows % 32 == columns % 32 == 0
        assert rows * columns <= 1024 * 800
        part = photo[tile.top : tile.top + rows, tile.left : tile.left + columns]
        assert np.array_equal(tile.pixels[: part.shape[0], : part.shape[1]], part)
        assert not tile.pixels[part.shape[0] :].any()
        assert not tile.pixels[:, part.shape[1] :].any()
        seen[tile.top : tile.top + rows, tile.left : tile.left + columns] = True
    assert seen.all()


@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        ((1194, 597), [(1216, 608)]),
        ((1632, 1224), [(608, 1248)] * 3),
        ((20000, 96), [(6752, 96)] * 3),
    ],
)
def test_tiles_are_laid_so_that_they_have_few_pixels_together(
    size: tuple[int, int], tiles: list[tuple[int, int]]
) -> None:
    level = plan_levels(*size, min_face_px=28, max_level_pixels=UNBOUNDED)[0]
    found = cut_tiles(np.zeros((size[1], size[0], 3), np.uint8), [level])
    assert [(tile.pixels.shape[1], tile.pixels.shape[0]) for tile in found] == tiles


def test_every_face_up_to_the_overlap_is_whole_in_some_tile() -> None:
    tiles = list(
        cut_tiles(
            noise(2000, 800),
            plan_levels(2000, 800, min_face_px=28, max_level_pixels=UNBOUNDED)[:1],
        )
    )
    side = 88
    for left in range(0, 2000 - side, 40):
        for top in range(0, 800 - side, 40):
            assert any(
                tile.left <= left
                and left + side <= tile.left + tile.pixels.shape[1]
                and tile.top <= top
                and top + side <= tile.top + tile.pixels.shape[0]
                for tile in tiles
            )

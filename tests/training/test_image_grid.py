import torch

from training.image_grid import mark_points, tile_faces


def test_faces_lie_in_rows_and_columns_with_a_gap() -> None:
    faces = torch.rand(2, 3, 3, 5, 4)
    grid = tile_faces(faces)
    assert grid.dtype == torch.uint8
    assert grid.shape == (3, 2 * 5 + 2, 3 * 4 + 2 * 2)
    assert torch.equal(grid[:, 7:12, 6:10], (faces[1, 1] * 255).round().to(torch.uint8))
    assert int(grid[:, 5:7].max()) == 0
    assert int(grid[:, :, 4:6].max()) == 0


def test_values_beyond_the_range_are_clamped() -> None:
    grid = tile_faces(torch.tensor([-0.5, 2.0]).view(1, 2, 1, 1, 1).expand(1, 2, 3, 1, 1))
    assert grid[:, 0, 0].tolist() == [0, 0, 0]
    assert grid[:, 0, 3].tolist() == [255, 255, 255]


def test_points_colour_the_pixels_under_them() -> None:
    images = torch.zeros(2, 3, 4, 8)
    points = torch.tensor([[[0.0, 0.0, 9.0], [0.99, 0.5, 9.0]], [[0.5, 0.26, 0.0], [1.7, -1, 0]]])
    marked = mark_points(images, points, colour=(1.0, 0.5, 0.25))
    places = marked[:, 0].nonzero().tolist()
    assert places == [[0, 0, 0], [0, 2, 7], [1, 0, 7], [1, 1, 4]]
    assert marked[0, :, 2, 7].tolist() == [1.0, 0.5, 0.25]
    assert float(images.abs().max()) == 0

import pytest
import torch

from training.perceptual.gram import gram_distance, gram_matrices


def test_gram_matrix_of_a_case_done_by_hand() -> None:
    # Channel 0 is 1 2 3 4, channel 1 is 0 1 0 2 over a 2 x 2 map; C H W = 8.
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 2.0]]]])
    expected = torch.tensor([[[30.0, 10.0], [10.0, 5.0]]]) / 8
    torch.testing.assert_close(gram_matrices(features), expected)


def test_gram_distance_of_a_case_done_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 2.0]]]])
    # Against zeros the squared Frobenius norm remains: (30^2 + 2 10^2 + 5^2) / 8^2.
    distance = gram_distance(features, torch.zeros_like(features))
    assert float(distance) == pytest.approx(1125 / 64)


def test_gram_distance_equals_a_loop_over_places() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    references = torch.randn(2, 3, 6, 2, generator=generator, dtype=torch.float64)
    for face in range(2):
        expected = 0.0
        for c in range(3):
            for other in range(3):
                entries = []
                for maps in (features[face], references[face]):
                    _, height, width = maps.shape
                    places = [(y, x) for y in range(height) for x in range(width)]
                    product = sum(float(maps[c, y, x] * maps[other, y, x]) for y, x in places)
                    entries.append(product / (3 * height * width))
                expected += (entries[0] - entries[1]) ** 2
        assert float(gram_distance(features, references)[face]) == pytest.approx(expected)


def test_where_a_feature_lies_does_not_matter() -> None:
    features = torch.randn(1, 4, 6, 6)
    turned = features.rot90(1, (2, 3))
    assert float(gram_distance(features, turned)) == pytest.approx(0, abs=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    references = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda f: gram_distance(f, references), (features.requires_grad_(),)
    )


def test_sums_are_taken_in_float32_under_autocast() -> None:
    features = torch.rand(1, 8, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = gram_matrices(features)
    assert torch.equal(under_autocast, gram_matrices(features))
    assert gram_matrices(features.bfloat16()).dtype == torch.float32

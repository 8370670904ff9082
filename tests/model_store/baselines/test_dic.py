import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model_store.baselines.dic import (
    DIC,
    FACE_PARTS,
    AttentiveFusion,
    BottleneckBlock,
    DICConfig,
    attend_to_parts,
)
from model_store.baselines.feedback_block import FeedbackBlock
from tests.model_store.baselines.slow_layers import (
    Array,
    Weights,
    conv,
    leaky_relu,
    prelu,
    transposed_conv,
    weights_of,
)
from tests.tiny_baselines import tiny_configs


def tiny_dic(scale: int = 8) -> DIC:
    config = tiny_configs(scale)["dic"]
    assert isinstance(config, DICConfig)
    return DIC(config).eval()


# --- the feedback block ---


def slow_feedback(features: Array, weights: Weights, *, num_groups: int, factor: int) -> Array:
    """SRFBN, section 3.3: each projection sees all maps of the other size before it."""

    def joined(maps: list[Array], name: str, group: int) -> Array:
        if group == 0:
            return maps[0]
        stacked = np.concatenate(maps)
        return prelu(conv(stacked, weights, f"{name}.{group - 1}.0"), weights, f"{name}.0.1")

    small = [prelu(conv(features, weights, "compress.0"), weights, "compress.1")]
    large: list[Array] = []
    for group in range(num_groups):
        up = transposed_conv(
            joined(small, "join_lr", group), weights, f"ups.{group}.0", stride=factor, padding=2
        )
        large.append(prelu(up, weights, f"ups.{group}.1"))
        down = conv(
            joined(large, "join_hr", group), weights, f"downs.{group}.0", stride=factor, padding=2
        )
        small.append(prelu(down, weights, f"downs.{group}.1"))
    return prelu(conv(np.concatenate(small[1:]), weights, "out.0"), weights, "out.1")


@pytest.mark.parametrize("factor", [4, 8])
def test_a_feedback_block_equals_an_independent_slow_one(factor: int) -> None:
    block = FeedbackBlock(4, 2, num_groups=3, factor=factor).double()
    features = torch.randn(1, 4, 4, 3, dtype=torch.float64)

    with torch.no_grad():
        result = block(features)[0].numpy()
    expected = slow_feedback(features[0].numpy(), weights_of(block), num_groups=3, factor=factor)

    assert result.shape == (2, 4, 3)
    np.testing.assert_allclose(result, expected, atol=1e-12)


# --- attention ---


def test_places_belong_to_the_part_whose_landmarks_are_there() -> None:
    heatmaps = torch.zeros(1, 68, 4, 4)
    for number, part in enumerate(FACE_PARTS):
        heatmaps[0, part.start, number // 2, number % 2] = 0.5  # a peak counts as 1
        heatmaps[0, part.start, 3, 3] = 0.25

    attention = attend_to_parts(heatmaps)

    e = np.e
    for number in range(5):
        at_peak = attention[0, :, number // 2, number % 2]
        expected = torch.full((5,), 1 / (e + 4))
        expected[number] = e / (e + 4)
        torch.testing.assert_close(at_peak, expected.float())
    torch.testing.assert_close(attention[0, :, 3, 3], torch.full((5,), 0.2))


def test_noise_in_an_empty_heatmap_is_not_blown_up() -> None:
    heatmaps = torch.zeros(1, 68, 2, 2)
    heatmaps[0, 40, 0, 0] = 0.01  # of a peak of at least 0.05: a fifth
    attention = attend_to_parts(heatmaps)
    expected = np.exp(0.2) / (np.exp(0.2) + 4)
    assert attention[0, 0, 0, 0].item() == pytest.approx(expected, rel=1e-6)


def test_fusion_equals_an_independent_slow_one() -> None:
    fusion = AttentiveFusion(2, num_blocks=2).double()
    features = torch.randn(1, 2, 5, 4, dtype=torch.float64)
    attention = torch.rand(1, 5, 5, 4, dtype=torch.float64)

    with torch.no_grad():
        result = fusion(features, attention)[0].numpy()
    weights = weights_of(fusion)
    wide = leaky_relu(conv(features[0].numpy(), weights, "widen"), 0.2)
    for block in ("blocks.0", "blocks.1"):
        change = leaky_relu(conv(wide, weights, f"{block}.conv1", groups=5), 0.2)
        wide = wide + conv(change, weights, f"{block}.conv2", groups=5)
    expected = sum(wide[2 * part : 2 * part + 2] * attention[0, part].numpy() for part in range(5))

    np.testing.assert_allclose(result, expected, atol=1e-12)


def test_a_bottleneck_equals_an_independent_slow_one() -> None:
    block = BottleneckBlock(2, 4).double()
    features = torch.randn(1, 2, 5, 4, dtype=torch.float64)

    with torch.no_grad():
        result = block(features)[0].numpy()
    image, weights = features[0].numpy(), weights_of(block)
    change = np.maximum(conv(image, weights, "convs.0"), 0)
    change = conv(conv(change, weights, "convs.2"), weights, "convs.3")

    np.testing.assert_allclose(result, conv(image, weights, "fit") + change, atol=1e-12)


# --- the steps ---


@pytest.mark.parametrize("scale", [4, 8])
def test_every_step_gives_an_image_and_heatmaps(scale: int) -> None:
    network = tiny_dic(scale)
    lr = torch.rand(1, 3, 128 // scale, 128 // scale)

    with torch.no_grad():
        stages = network.forward_stages(lr)
        result = network(lr)

    assert [image.shape for image in stages.images] == [(1, 3, 128, 128)] * 3
    assert [heatmaps.shape for heatmaps in stages.heatmaps] == [(1, 68, 32, 32)] * 3
    assert torch.equal(stages.images[-1], result)


def test_each_branch_sees_what_the_other_found_the_step_before() -> None:
    network = tiny_dic(scale=4)
    lr = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        stages = network.forward_stages(lr)
        centred = lr - torch.tensor([0.509, 0.424, 0.378])[:, None, None]
        enlarged = F.interpolate(centred, scale_factor=4, mode="bilinear", align_corners=False)
        shallow = network.stem(centred)

        hidden = [network.first_block(shallow)]
        images = [enlarged + network.reconstruct(hidden[0])]
        found, memory = network.landmarks(images[0], None)
        heatmaps = [found]
        for _ in range(2):
            compressed = network.block.compress(torch.cat((shallow, hidden[-1]), dim=1))
            fused = network.fusion(compressed, attend_to_parts(heatmaps[-1]))
            hidden.append(network.block.project(fused))
            images.append(enlarged + network.reconstruct(hidden[-1]))
            found, memory = network.landmarks(images[-1], memory)
            heatmaps.append(found)

    for ours, expected in zip(stages.images, images, strict=True):
        torch.testing.assert_close(ours, expected + network.rgb_mean)
    for ours, expected in zip(stages.heatmaps, heatmaps, strict=True):
        torch.testing.assert_close(ours, expected)


def test_the_landmark_branch_starts_by_remembering_what_it_sees() -> None:
    branch = tiny_dic().landmarks
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        first, remembered = branch(image, None)
        again, _ = branch(image, branch.stem(image))
        other, _ = branch(image, torch.zeros_like(remembered))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 2}, "scale is 2"),
        ({"num_steps": 1}, "num_steps is 1; it must be at least 2"),
        ({"num_groups": 0}, "num_groups is 0; it must be at least 1"),
        ({"hourglass_features": 6}, "hourglass_features is 6; it must be a multiple of 4"),
        ({"hourglass_features": 0}, "hourglass_features is 0; it must be a multiple of 4"),
    ],
)
def test_sizes_that_cannot_be_built_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DICConfig(**{"scale": 8, **options})

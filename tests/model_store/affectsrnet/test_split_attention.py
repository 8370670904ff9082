import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_store.affectsrnet.split_attention import SplitAttention

Array = npt.NDArray[np.float64]


@pytest.fixture
def attention() -> SplitAttention:
    """Blocks of 4: two of the first modality, three of the second."""
    module = SplitAttention((8, 12), 4, reduction=2, block_dropout=0.2).double().eval()
    torch.nn.init.normal_(module.highlight.weight)
    module.norm.running_mean = torch.randn(2, dtype=torch.float64)
    module.norm.running_var = torch.rand(2, dtype=torch.float64) + 0.5
    torch.nn.init.normal_(module.norm.weight)
    torch.nn.init.normal_(module.norm.bias)
    return module


def slow_attention(module: SplitAttention, modalities: list[Array]) -> list[Array]:
    """Su et al.'s steps for one item, (C_m, h_m, w_m) each, one block at a time."""
    state = {key: value.numpy() for key, value in module.state_dict().items()}
    size = module.block_channels
    split = [[m[i : i + size] for i in range(0, len(m), size)] for m in modalities]
    joined = np.zeros(size)
    for blocks in split:
        joined += np.sum(blocks, axis=0).mean(axis=(1, 2))  # sum of blocks, then pooling
    hidden = state["join.weight"] @ joined + state["join.bias"]
    hidden = (hidden - state["norm.running_mean"]) / np.sqrt(state["norm.running_var"] + 1e-5)
    hidden = np.maximum(state["norm.weight"] * hidden + state["norm.bias"], 0)
    logits = []
    for k in range(sum(len(blocks) for blocks in split)):
        rows = slice(k * size, (k + 1) * size)
        logits.append(state["highlight.weight"][rows] @ hidden + state["highlight.bias"][rows])
    share = np.exp(logits) / np.exp(logits).sum(axis=0)  # over all blocks of all modalities
    shares = iter(len(logits) * share)
    return [
        np.concatenate([block * next(shares)[:, None, None] for block in blocks])
        for blocks in split
    ]


def test_split_attention_equals_an_independent_slow_one(attention: SplitAttention) -> None:
    image = torch.randn(3, 8, 6, 5, dtype=torch.float64)
    graph = torch.randn(3, 12, 2, 3, dtype=torch.float64)  # another size: only pools meet
    weighed = attention((image, graph))
    for n in range(3):
        expected = slow_attention(attention, [image[n].numpy(), graph[n].numpy()])
        for got, wanted in zip(weighed, expected, strict=True):
            np.testing.assert_allclose(got[n].detach().numpy(), wanted, atol=1e-12)


def test_equal_attention_changes_nothing(attention: SplitAttention) -> None:
    for parameter in attention.highlight.parameters():
        torch.nn.init.zeros_(parameter)
    modalities = (torch.randn(2, 8, 3, 3).double(), torch.randn(2, 12, 3, 3).double())
    for got, given in zip(attention(modalities), modalities, strict=True):
        torch.testing.assert_close(got, given)


def test_dropout_takes_whole_blocks_in_training_only(attention: SplitAttention) -> None:
    modalities = (torch.ones(400, 8, 2, 2).double(), torch.ones(400, 12, 2, 2).double())

    def silent_blocks() -> torch.Tensor:
        channels = torch.cat([m.sum(dim=(2, 3)) for m in attention(modalities)], dim=1)
        blocks = channels.unflatten(1, (5, 4)) == 0
        assert torch.equal(blocks.any(dim=2), blocks.all(dim=2))
        return blocks.all(dim=2)

    assert not silent_blocks().any()
    attention.train()
    # 2,000 draws at 0.2: three standard deviations are 0.027.
    assert float(silent_blocks().double().mean()) == pytest.approx(0.2, abs=0.027)


def test_training_on_a_single_item_is_refused_by_torch(attention: SplitAttention) -> None:
    attention.train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        attention((torch.ones(1, 8, 2, 2).double(), torch.ones(1, 12, 2, 2).double()))


def test_widths_that_blocks_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="a modality has 10 channels, which blocks of 4 do not"):
        SplitAttention((8, 10), 4, reduction=2, block_dropout=0.0)


def test_a_reduction_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 2 channels cannot be reduced by 4"):
        SplitAttention((8, 2), 2, reduction=4, block_dropout=0.0)

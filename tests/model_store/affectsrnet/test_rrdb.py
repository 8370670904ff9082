import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model_store.affectsrnet.rrdb import RRDB, InstanceNorm, ResidualDenseBlock
from tests.model_store.affectsrnet import slow_reference


@pytest.mark.parametrize("instance_norm", [True, False])
def test_rrdb_equals_an_independent_slow_one(instance_norm: bool) -> None:
    block = RRDB(6, 4, instance_norm=instance_norm).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features = torch.randn(1, 6, 7, 5, dtype=torch.float64)

    weights = {f"block.{key}": value.numpy() for key, value in block.state_dict().items()}
    expected = slow_reference.rrdb(features[0].numpy(), weights, "block")

    np.testing.assert_allclose(block(features)[0].detach().numpy(), expected, atol=1e-10)


def test_instance_norm_equals_torchs_own() -> None:
    norm = InstanceNorm(6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    features = torch.randn(3, 6, 5, 4)

    expected = F.instance_norm(features, weight=norm.weight, bias=norm.bias, eps=1e-5)

    torch.testing.assert_close(norm(features), expected)


def test_instance_norm_does_not_depend_on_the_company() -> None:
    norm = InstanceNorm(6)
    image, quiet, loud = torch.randn(3, 1, 6, 5, 5)

    among_quiet = norm(torch.cat((image, 0.01 * quiet)))[0]
    among_loud = norm(torch.cat((image, 100 * loud)))[0]

    assert torch.equal(among_quiet, among_loud)


def test_dense_block_widths_are_esrgans() -> None:
    block = ResidualDenseBlock(64, 32, instance_norm=True)
    convs = [block.get_parameter(f"conv{k}.weight") for k in range(1, 6)]
    assert [conv.shape[1] for conv in convs] == [64, 96, 128, 160, 192]
    assert [conv.shape[0] for conv in convs] == [32, 32, 32, 32, 64]


def test_norms_replace_the_biases_and_the_last_starts_small() -> None:
    normed = dict(ResidualDenseBlock(8, 4, instance_norm=True).named_parameters())
    plain = dict(ResidualDenseBlock(8, 4, instance_norm=False).named_parameters())

    assert not any(name.startswith("conv") and name.endswith("bias") for name in normed)
    assert not any(name.startswith("norm") for name in plain)
    assert torch.equal(normed["norm4.weight"], torch.ones(4))
    assert torch.equal(normed["norm5.weight"], torch.full((8,), 0.15))


@pytest.mark.parametrize("instance_norm", [True, False])
def test_a_fresh_block_is_close_to_the_identity(instance_norm: bool) -> None:
    features = torch.randn(2, 64, 8, 8)
    with torch.no_grad():
        change = RRDB(64, 32, instance_norm=instance_norm)(features) - features
    # 0.2 x (features + the little that the dense blocks add), so about a fifth.
    assert 0.1 < change.std() / features.std() < 0.3

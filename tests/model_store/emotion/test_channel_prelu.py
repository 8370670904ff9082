import pytest
import torch
from torch import nn

from model_store.emotion.channel_prelu import ChannelPReLU


def both(num_channels: int) -> tuple[ChannelPReLU, nn.PReLU]:
    """Ours and torch's, with the same slopes, one of them negative."""
    ours, torchs = ChannelPReLU(num_channels), nn.PReLU(num_channels)
    with torch.no_grad():
        ours.weight.copy_(torch.linspace(-0.5, 1.5, num_channels))
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 5, 1, 1)])
def test_values_and_gradients_are_torchs(
    shape: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    ours, torchs = both(5)
    features = torch.randn(shape).contiguous(memory_format=memory_format)
    features[0, 0] = 0.0  # where the slopes meet
    towards = torch.randn(shape)
    found, wanted = features.clone().requires_grad_(), features.clone().requires_grad_()
    result, reference = ours(found), torchs(wanted)
    assert torch.equal(result, reference)
    result.backward(towards)
    reference.backward(towards)
    assert torch.equal(found.grad, wanted.grad)  # type: ignore[arg-type]
    torch.testing.assert_close(ours.weight.grad, torchs.weight.grad)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(1)
    ours, _ = both(3)
    features = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ours.double(), (features,))


def test_half_precision_features_keep_their_dtype_and_the_slopes_get_float32_gradients() -> None:
    ours, _ = both(4)
    features = torch.randn(2, 4, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    result = ours(features)
    assert result.dtype == torch.bfloat16
    result.sum().backward()
    assert features.grad is not None
    assert features.grad.dtype == torch.bfloat16
    assert ours.weight.grad is not None
    assert ours.weight.grad.dtype == torch.float32


def test_without_gradients_it_is_the_plain_operation() -> None:
    ours, torchs = both(4)
    features = torch.randn(2, 4, 3, 3)
    with torch.inference_mode():
        assert torch.equal(ours(features), torchs(features))

"""Pictures without a face, made from pictures with one: what the confidence must turn down."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_TILES_PER_SIDE = 4
_NUM_KINDS = 4


def make_faceless(images: Tensor, *, generator: Generator) -> Tensor:
    """Replace each (3, H, H) face of a batch by a picture of about its colours without a face.

    Four kinds, drawn evenly: a corner (hair, background, clothes) blown up to full size, the
    face's tiles shuffled, smooth random texture over its mean colour, a flat colour ramp.

    Args:
        images: (N, 3, H, H) float RGB in [0, 1]; H divisible by 4.
        generator: Source of every draw.

    Returns:
        (N, 3, H, H) in [0, 1].
    """
    kinds = torch.randint(_NUM_KINDS, (len(images),), generator=generator).tolist()
    makers = (_enlarge_corner, _shuffle_tiles, _draw_texture, _draw_ramp)
    made = [makers[kind](face, generator) for kind, face in zip(kinds, images, strict=True)]
    return torch.stack(made).clamp(0, 1)


def _enlarge_corner(face: Tensor, generator: Generator) -> Tensor:
    side = face.shape[-1]
    crop = side // 5 + _draw(side // 12, generator)
    top = _draw(2, generator) * (side - crop)
    left = _draw(2, generator) * (side - crop)
    patch = face[None, :, top : top + crop, left : left + crop]
    return F.interpolate(patch, size=(side, side), mode="bicubic", align_corners=False)[0]


def _shuffle_tiles(face: Tensor, generator: Generator) -> Tensor:
    side = face.shape[-1] // _TILES_PER_SIDE
    tiles = face.unfold(1, side, side).unfold(2, side, side).flatten(1, 2)  # (3, T, side, side)
    order = torch.randperm(tiles.shape[1], generator=generator).to(face.device)
    grid = tiles[:, order].reshape(3, _TILES_PER_SIDE, _TILES_PER_SIDE, side, side)
    return grid.permute(0, 1, 3, 2, 4).reshape(face.shape)


def _draw_texture(face: Tensor, generator: Generator) -> Tensor:
    grain = 2 ** (1 + _draw(5, generator))
    noise = torch.randn(1, 3, grain, grain, generator=generator).to(face.device)
    smooth = F.interpolate(noise, size=face.shape[-2:], mode="bicubic", align_corners=False)[0]
    return face.mean((1, 2), keepdim=True) + 0.15 * smooth


def _draw_ramp(face: Tensor, generator: Generator) -> Tensor:
    ends = torch.rand(2, 3, 1, 1, generator=generator).to(face.device)
    ramp = torch.linspace(0, 1, face.shape[-1], device=face.device)
    if _draw(2, generator):
        ramp = ramp[:, None]
    return (ends[0] + (ends[1] - ends[0]) * ramp).expand_as(face)


def _draw(limit: int, generator: Generator) -> int:
    return int(torch.randint(limit, (), generator=generator))

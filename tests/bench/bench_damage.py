"""What the published networks make of damaged faces, beside bicubic: PSNR of RGB.

    python -m tests.bench.bench_damage PACKS/ffhq [PACKS/helen ...] [--faces 24]

Faces of packs are damaged down to 32 px by the ranges of training/configs/affectsrnet-x4-real.toml:
blurred, resized, noisy and JPEG-ed, twice over. x8 is given the face reduced to 16 px, as the
service does with `scale=8`. With `--sheet FILE` the first eight faces are drawn: damaged, bicubic,
each network, original.
"""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from model_store.architectures import Upscaler
from model_store.image_tensor import images_to_tensor, resize_bicubic, tensor_to_image
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from model_store.upscaling import upscale_batch
from tests.conftest import ROOT
from training.config import BlindDegradationConfig, DegradationRoundConfig
from training.data.blind_degradation import degrade_blindly
from training.data.item_draws import ItemDraws
from training.data.pack import open_pack

_CONFIG = ROOT / "training" / "configs" / "affectsrnet-x4-real.toml"
_LR_PX, _HR_PX = {4: 32, 8: 16}, 128
_MODELS = {"affectsrnet-x4": 4, "affectsrnet-x4-real": 4, "affectsrnet-x8": 8}
_NUM_DRAWN = 8


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--faces", type=int, default=24)
    parser.add_argument("--sheet", type=Path, help="PNG to draw the first pack's faces to")
    options = parser.parse_args(arguments)
    print(f"| faces | bicubic | {' | '.join(_MODELS)} |\n|---|{'---|' * (1 + len(_MODELS))}")
    for number, folder in enumerate(options.packs):
        pack = open_pack(folder)
        hr = images_to_tensor(list(np.array(pack.images[: options.faces])))
        results = _enlarged(hr)
        found = [_psnr_db(result, hr) for result in results]
        print(f"| {len(hr)} of {pack.name} | {' | '.join(f'{db:.2f} dB' for db in found)} |")
        if number == 0 and options.sheet is not None:
            _draw([*results, hr], options.sheet)


@torch.inference_mode()
def _enlarged(hr: Tensor) -> list[Tensor]:
    """The damaged faces by bicubic and by each network, (N, 3, 128, 128) in [0, 1]."""
    damage = tomllib.loads(_CONFIG.read_text("utf-8"))["degradation"]["blind"]
    lr = degrade_blindly(
        hr,
        side_px=_LR_PX[4],
        config=BlindDegradationConfig(
            first=_round_of(damage["first"]), second=_round_of(damage["second"])
        ),
        draws=ItemDraws(list(range(len(hr))), device=hr.device),
    )
    networks = [_upscale(lr, name, scale) for name, scale in _MODELS.items()]
    bicubic = resize_bicubic(lr, height=_HR_PX, width=_HR_PX)
    return [result.clamp(0, 1) for result in (bicubic, *networks)]


def _round_of(values: Mapping[str, float | list[float]]) -> DegradationRoundConfig:
    ranges = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return DegradationRoundConfig(**ranges)  # type: ignore[arg-type]


def _upscale(lr: Tensor, name: str, scale: int) -> Tensor:
    store = ModelStore()
    network = store.load(name).module
    landmarker = store.load("landmarker").module
    assert isinstance(network, Upscaler)
    assert isinstance(landmarker, Landmarker)
    side_px = _LR_PX[scale]
    return upscale_batch(
        network, resize_bicubic(lr, height=side_px, width=side_px), landmarker=landmarker
    )


def _psnr_db(result: Tensor, hr: Tensor) -> float:
    errors = ((result - hr) ** 2).flatten(1).mean(1)
    return float((-10 * torch.log10(errors)).mean())


def _draw(columns: Sequence[Tensor], out: Path) -> None:
    rows = torch.cat([images[:_NUM_DRAWN] for images in columns], dim=3)
    Image.fromarray(tensor_to_image(torch.cat(list(rows), dim=1))).save(out)


if __name__ == "__main__":
    main()

"""Measuring a network on faces it never learnt from, beside Pillow's bicubic.

Protocol ``sfmnet``: LR by Pillow bicubic in 8 bits; PSNR and SSIM on MATLAB-style Y with an
8 px border cropped. Every number is a mean over faces with its bootstrap interval.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.architectures import Upscaler, needs_landmarks
from model_store.image_tensor import RgbImage, images_to_tensor, tensor_to_image
from model_store.landmarks.landmarker import Landmarker
from model_store.upscaling import upscale_batch
from training.data.draws import step_generator
from training.data.faceless import make_faceless
from training.data.pack import FacePack
from training.quality import (
    CROP_BORDER_PX,
    RIGHT_WITHIN_NME,
    Estimate,
    calibration_error,
    estimate_mean,
    luma,
    mouth_opening,
    normalised_mean_error,
    psnr,
    ssim,
)

_BATCH_SIZE = 50


@dataclass(frozen=True)
class SetReport:
    """What was measured on one set of faces, by the measure's name with its unit."""

    set_name: str
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True)
class EvaluationReport:
    """What was measured of one network, set by set."""

    model: str
    protocol: str
    sets: tuple[SetReport, ...]

    def mean_over_sets(self) -> dict[str, float]:
        """Each measure's mean over the sets, every set counting the same."""
        names = self.sets[0].estimates
        return {n: float(np.mean([s.estimates[n].mean for s in self.sets])) for n in names}

    def metrics(self) -> dict[str, float]:
        """All means as flat values for a manifest: ``set/measure`` and ``mean/measure``."""
        flat = {
            f"{s.set_name}/{name}": round(estimate.mean, 5)
            for s in self.sets
            for name, estimate in s.estimates.items()
        }
        flat |= {f"mean/{name}": round(value, 5) for name, value in self.mean_over_sets().items()}
        return flat

    def to_json(self) -> str:
        """The whole report with intervals, indented."""
        return json.dumps({**asdict(self), "mean_over_sets": self.mean_over_sets()}, indent=2)

    def to_text(self) -> str:
        """A table for the terminal: a row a measure, a column a set."""
        means = self.mean_over_sets()
        head = f"{'':26}" + "".join(f"{s.set_name:>28}" for s in self.sets) + f"{'mean':>10}"
        rows = [f"{self.model}, protocol {self.protocol}", head]
        for name, mean in means.items():
            cells = "".join(f"{_format(s.estimates[name]):>28}" for s in self.sets)
            rows.append(f"{name:26}{cells}{mean:>10.4f}")
        return "\n".join(rows)


def evaluate_network(
    network: nn.Module,
    packs: Sequence[FacePack],
    *,
    model: str,
    landmarker: Landmarker | None = None,
) -> EvaluationReport:
    """Evaluate an upscaling network or a Landmarker on all faces of some packs.

    Args:
        network: In eval mode, on the CPU, in float32.
        packs: Sets of faces that the network was not trained on.
        model: How the report names the network.
        landmarker: Gives the landmarks for a network with landmark fusion, from the LR image.

    Raises:
        ValueError: a network of another kind, or landmark fusion without a landmarker.
    """
    if isinstance(network, Landmarker):
        sets = tuple(_evaluate_landmarker(network, pack) for pack in packs)
        return EvaluationReport(model, "teacher landmarks of the HR face", sets)
    if not isinstance(network, Upscaler):
        raise ValueError(f"{type(network).__name__} cannot be evaluated")
    if needs_landmarks(network.config) and landmarker is None:
        raise ValueError("a network with landmark fusion is evaluated with a landmarker")
    sets = tuple(_evaluate_upscaling(network, pack, landmarker) for pack in packs)
    return EvaluationReport(model, "sfmnet", sets)


def low_resolution(image: RgbImage, *, side_px: int) -> RgbImage:
    """The protocol's LR image: Pillow's bicubic of a uint8 image."""
    small = Image.fromarray(image).resize((side_px, side_px), Image.Resampling.BICUBIC)
    return np.asarray(small)


def enlarge_bicubic(image: RgbImage) -> RgbImage:
    """The tables' first column: Pillow's bicubic back to 128 px."""
    large = Image.fromarray(image).resize((HR_SIZE_PX, HR_SIZE_PX), Image.Resampling.BICUBIC)
    return np.asarray(large)


def upscale_images(
    network: Upscaler, lr: Sequence[RgbImage], *, landmarker: Landmarker | None
) -> list[RgbImage]:
    """Upscale equally large LR images, landmarks from the LR images, as the service does."""
    upscaled: list[RgbImage] = []
    for start in range(0, len(lr), _BATCH_SIZE):
        batch = images_to_tensor(lr[start : start + _BATCH_SIZE])
        with torch.inference_mode():
            sr = upscale_batch(network, batch, landmarker=landmarker)
        upscaled += [tensor_to_image(face) for face in sr]
    return upscaled


def _evaluate_upscaling(
    network: Upscaler, pack: FacePack, landmarker: Landmarker | None
) -> SetReport:
    side = HR_SIZE_PX // network.config.scale
    originals = [np.asarray(image) for image in pack.images]
    lr = [low_resolution(image, side_px=side) for image in originals]
    bicubic = [enlarge_bicubic(image) for image in lr]
    upscaled = upscale_images(network, lr, landmarker=landmarker)
    ours, baseline = _psnr_of(upscaled, originals), _psnr_of(bicubic, originals)
    return SetReport(
        pack.name,
        {
            "psnr_db": estimate_mean(ours),
            "bicubic_psnr_db": estimate_mean(baseline),
            "psnr_gain_db": estimate_mean(ours - baseline),
            "ssim": _ssim_of(upscaled, originals),
            "bicubic_ssim": _ssim_of(bicubic, originals),
        },
    )


def _evaluate_landmarker(network: Landmarker, pack: FacePack) -> SetReport:
    truth = torch.from_numpy(np.array(pack.landmarks))
    faces = torch.from_numpy(np.array(pack.images)).permute(0, 3, 1, 2).float() / 255
    faceless = make_faceless(faces, generator=step_generator(seed=0, step=0))
    estimates: dict[str, Estimate] = {}
    for side in (32, 16):
        found, confidence = _find_landmarks(network, faces, side_px=side)
        _, doubt = _find_landmarks(network, faceless, side_px=side)
        errors = normalised_mean_error(found, truth)
        pair = torch.stack([mouth_opening(found), mouth_opening(truth)])
        estimates |= {
            f"nme_{side}px": estimate_mean(errors.numpy()),
            f"mouth_correlation_{side}px": _estimate_correlation(pair),
            f"face_confidence_{side}px": estimate_mean(confidence.numpy()),
            f"faceless_confidence_{side}px": estimate_mean(doubt.numpy()),
            f"confidence_ece_{side}px": _estimate_calibration(
                torch.cat([confidence, doubt]),
                torch.cat([errors < RIGHT_WITHIN_NME, torch.zeros(len(doubt), dtype=torch.bool)]),
            ),
        }
    return SetReport(pack.name, estimates)


def _find_landmarks(network: Landmarker, images: Tensor, *, side_px: int) -> tuple[Tensor, Tensor]:
    """Landmarks and confidence for (N, 3, 128, 128) images, read from their Pillow LR images."""
    lr = [low_resolution(tensor_to_image(image), side_px=side_px) for image in images]
    with torch.inference_mode():
        prediction = network(images_to_tensor(lr))
    return prediction.landmarks, prediction.confidence


def _estimate_calibration(confidence: Tensor, is_right: Tensor, *, draws: int = 500) -> Estimate:
    """Expected calibration error with a bootstrap over pictures."""
    count = len(confidence)
    picks = torch.from_numpy(np.random.default_rng(0).integers(count, size=(draws, count)))
    resampled = [calibration_error(confidence[pick], is_right[pick]) for pick in picks]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(calibration_error(confidence, is_right), float(low), float(high), count)


def _estimate_correlation(pair: Tensor, *, draws: int = 2000) -> Estimate:
    """Pearson correlation of the two rows of a (2, N) tensor, with a bootstrap over faces.

    Draws of a single face many times have no correlation and are left out of the interval.
    """
    values = pair.double().numpy()
    count = values.shape[1]
    picks = np.random.default_rng(0).integers(count, size=(draws, count))
    spread = [pick for pick in picks if values[:, pick].std(1).min() > 0]
    resampled = [np.corrcoef(values[:, pick])[0, 1] for pick in spread]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(float(np.corrcoef(values)[0, 1]), float(low), float(high), count)


def _psnr_of(images: list[RgbImage], references: list[RgbImage]) -> Tensor:
    planes = (luma(images_to_tensor(i)) for i in (images, references))
    return psnr(*planes, crop_border=CROP_BORDER_PX)


def _ssim_of(images: list[RgbImage], references: list[RgbImage]) -> Estimate:
    pairs = zip(images, references, strict=True)
    return estimate_mean([ssim(image, reference) for image, reference in pairs])


def _format(estimate: Estimate) -> str:
    return f"{estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


def write_report(path: Path, report: EvaluationReport) -> None:
    """Write a report as JSON."""
    path.write_text(report.to_json() + "\n", encoding="utf-8")

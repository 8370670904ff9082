"""Training AffectSRNet or a rival: degrade, find landmarks in the LR image, upscale, compare."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.architectures import upscaler_from
from model_store.image_tensor import resize_bicubic, round_to_uint8_levels
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from training.config import SuperResolutionTaskConfig, TrainConfig
from training.data.augmentation import augment_faces
from training.data.datasets import FaceBatch, FaceDataset
from training.data.degradation import degrade, downsample
from training.data.draws import BatchDraws
from training.precision import forward_autocast
from training.quality import luma, psnr
from training.tasks.task import LossTerms, ParameterGroup

_VALIDATION_BATCH = 50
_BRANCH_PREFIXES = ("gcn.", "merges.")


class SuperResolutionTask:
    """Pixel distance between the network's image and the original (III-E, first term of eq. 2).

    Landmarks come from the LR image by the published Landmarker, in training as in serving, so
    that the network learns with the landmarks that it will be given.
    """

    score_name = "psnr_gain_db"

    def __init__(
        self,
        config: TrainConfig,
        *,
        task: SuperResolutionTaskConfig,
        landmarker: Landmarker | None,
        dataset: FaceDataset,
        device: torch.device,
    ) -> None:
        self.network: nn.Module = upscaler_from(task.network).to(device)
        self._side_px = task.network.lr_size_px
        self._backbone_rate = task.backbone_rate
        self._pixel_loss = task.pixel_loss
        self._config = config
        self._device = device
        self._landmarker = landmarker.to(device).eval() if landmarker is not None else None
        self._validation = dataset.validation_batches(batch_size=_VALIDATION_BATCH)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The backbone at its own rate, then the landmark branch."""
        branch: list[nn.Parameter] = []
        backbone: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            is_branch = name.startswith(_BRANCH_PREFIXES)
            (branch if is_branch else backbone).append(parameter)
        groups = [ParameterGroup(backbone, self._backbone_rate), ParameterGroup(branch)]
        return [group for group in groups if group.parameters]

    def compute_loss(self, faces: FaceBatch, *, draws: BatchDraws) -> LossTerms:
        """Return the pixel loss of an augmented, degraded batch."""
        hr, _ = augment_faces(
            faces.images,
            faces.landmarks,
            config=self._config.augmentation,
            draws=draws,
        )
        hr = round_to_uint8_levels(hr)
        lr = degrade(
            hr,
            side_px=self._side_px,
            config=self._config.degradation,
            draws=draws,
            ids=faces.ids,
        )
        lr, hr = lr.to(self._device), hr.to(self._device)
        sr = self._upscale(self.network, lr)
        difference = sr - hr
        l1 = difference.abs().mean()
        # The constant is a hundredth of what 8-bit rounding costs: equal images have a loss.
        psnr_loss = difference.square().mean((1, 2, 3)).add(1e-8).log().mean()
        total = l1 if self._pixel_loss == "l1" else psnr_loss
        return LossTerms(total, {"l1": l1.detach(), "psnr": psnr_loss.detach()})

    @torch.no_grad()
    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """Mean PSNR on Y (8 px border cropped, dB), and its gain over bicubic.

        LR images are the paper's bicubic ones; with the blind degradation they are damaged, each
        time in the same way.
        """
        scores, baselines = [], []
        for faces in self._validation:
            hr = faces.images.to(self._device)
            lr = self._degrade_for_validation(hr, faces.ids)
            sr = round_to_uint8_levels(self._upscale(network, lr))
            bicubic = resize_bicubic(lr, height=HR_SIZE_PX, width=HR_SIZE_PX)
            target = luma(hr)
            scores.append(psnr(luma(sr), target))
            baselines.append(psnr(luma(round_to_uint8_levels(bicubic)), target))
        score, baseline = float(torch.cat(scores).mean()), float(torch.cat(baselines).mean())
        return {"psnr_db": score, "psnr_gain_db": score - baseline}

    def finish(self, network: nn.Module) -> None:
        """Nothing is left to do."""

    def _degrade_for_validation(self, hr: Tensor, ids: Tensor) -> Tensor:
        config = self._config.degradation
        if config.kind == "bicubic":
            return downsample(hr, side_px=self._side_px)
        draws = BatchDraws.of_step(seed=self._config.seed, step=0, batch_size=len(hr))
        return degrade(hr, side_px=self._side_px, config=config, draws=draws, ids=ids)

    def _upscale(self, network: nn.Module, lr: Tensor) -> Tensor:
        inputs: tuple[Tensor, ...] = (lr,)
        if self._landmarker is not None:
            with torch.no_grad():
                inputs = lr, choose_landmarks(self._landmarker, lr).landmarks
        with forward_autocast(self._device, precision=self._config.precision):
            sr: Tensor = network(*inputs)
        return sr.float()

"""Training AffectSRNet or a rival: degrade, find landmarks in the LR image, upscale, compare."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.affectsrnet.network import LANDMARK_BRANCH_PREFIXES
from model_store.architectures import upscaler_from
from model_store.image_tensor import round_to_uint8_levels
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from training.config import SuperResolutionTaskConfig, TrainConfig
from training.data.augmentation import augment_faces
from training.data.datasets import FaceBatch, FaceDataset
from training.data.degradation import degrade, downsample
from training.data.draws import BatchDraws
from training.data.pack import Split
from training.losses.affectsr_loss import AffectSRLoss
from training.losses.terms import LossTerms
from training.precision import forward_autocast
from training.quality import luma, psnr
from training.tasks.distillation import Teacher
from training.tasks.held_faces import HeldFaces, enlarge_bicubic, hold_faces
from training.tasks.landmark_curriculum import mix_landmarks
from training.tasks.supervision import StagedNetwork, supervise_stages
from training.tasks.task import ParameterGroup

_VALIDATION_BATCH = 50
_NUM_PREVIEWED = 6


class SuperResolutionTask:
    """Distance between the network's image and the original (III-E, eq. 2), and the teacher's.

    Landmarks come from the LR image by the published Landmarker, in training as in serving, so
    that the network learns with the landmarks that it will be given; a curriculum may start with
    better ones.

    The best weights are those of the highest PSNR while pixels alone are compared, else those of
    the lowest loss: a perceptual loss costs PSNR from its first step on.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        task: SuperResolutionTaskConfig,
        landmarker: Landmarker | None,
        make_loss: Callable[[nn.Module], AffectSRLoss],
        dataset: FaceDataset,
        device: torch.device,
        teacher: Teacher | None = None,
    ) -> None:
        self.network: nn.Module = upscaler_from(task.network).to(device)
        self._side_px = task.network.lr_size_px
        self._backbone_rate = task.backbone_rate
        self._curriculum = task.landmark_curriculum
        self._loss = make_loss(self.network)
        self._teacher = teacher
        self.score_name = "psnr_gain_db" if task.loss.is_of_pixels else "negative_loss"
        self._config = config
        self._device = device
        self._landmarker = landmarker.to(device).eval() if landmarker is not None else None
        self._dataset = dataset
        self._held: dict[Split, list[HeldFaces]] = {}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The backbone at its own rate, then the landmark branch."""
        branch: list[nn.Parameter] = []
        backbone: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            is_branch = name.startswith(LANDMARK_BRANCH_PREFIXES)
            (branch if is_branch else backbone).append(parameter)
        groups = [ParameterGroup(backbone, self._backbone_rate), ParameterGroup(branch)]
        return [group for group in groups if group.parameters]

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        """Return the loss of an augmented, degraded batch, and what stages add to it."""
        faces = self._dataset.train_batch(draws)
        hr, landmarks = augment_faces(
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
        lr, hr, landmarks = (t.to(self._device) for t in (lr, hr, landmarks))
        network = self.network
        if isinstance(network, StagedNetwork):
            with forward_autocast(self._device, precision=self._config.precision):
                stages = network.forward_stages(lr)
            sr = stages.images[-1].float()
            loss = self._compare(sr, hr, landmarks).plus(self._learn_from_teacher(sr, lr))
            return loss.plus(supervise_stages(network, stages, hr=hr, landmarks=landmarks))
        given = self._find_landmarks(lr)
        if given is not None:
            given = mix_landmarks(given, landmarks, config=self._curriculum, draws=draws)
        sr = self._upscale(network, lr, given)
        return self._compare(sr, hr, landmarks).plus(self._learn_from_teacher(sr, lr))

    @torch.no_grad()
    def validate(self, network: nn.Module, split: Split) -> Mapping[str, float]:
        """Mean PSNR on Y (8 px border cropped, dB), its gain over bicubic, and the loss if scored.

        LR images are the paper's bicubic ones; with the blind degradation they are damaged, each
        time in the same way.
        """
        scores, gains, losses = [], [], []
        originals = self._dataset.held_batches(split, batch_size=_VALIDATION_BATCH)
        for faces, hr in zip(self._hold(split), originals, strict=True):
            sr = round_to_uint8_levels(self._upscale(network, faces.lr, faces.landmarks))
            scores.append(psnr(luma(sr), faces.target))
            gains.append(scores[-1] - faces.bicubic_psnr_db)
            if self.score_name == "negative_loss":
                loss = self._compare(sr, hr.images, hr.landmarks).total
                losses.append(loss.expand(len(hr)))
        measured = {"psnr_db": scores, "psnr_gain_db": gains}
        if losses:
            measured["negative_loss"] = [-loss for loss in losses]
        return {name: float(torch.cat(values).mean()) for name, values in measured.items()}

    @torch.no_grad()
    def preview(self, network: nn.Module) -> Tensor:
        """LR by nearest neighbour, bicubic, SR, HR of the same few validation faces."""
        [hr] = self._dataset.held_batches("validation", batch_size=_NUM_PREVIEWED, limit=1)
        lr = self._degrade_held(hr)
        sr = self._upscale(network, lr, self._find_landmarks(lr))
        nearest = F.interpolate(lr, size=HR_SIZE_PX, mode="nearest")
        return torch.stack([nearest, enlarge_bicubic(lr), sr, hr.images], dim=1)

    def _hold(self, split: Split) -> list[HeldFaces]:
        """Prepared when first asked for: who only publishes never does."""
        if split not in self._held:
            self._held[split] = hold_faces(
                self._dataset.held_batches(split, batch_size=_VALIDATION_BATCH),
                degrade=self._degrade_held,
                find_landmarks=self._find_landmarks,
            )
        return self._held[split]

    def _degrade_held(self, faces: FaceBatch) -> Tensor:
        config = self._config.degradation
        if config.kind == "bicubic":
            return downsample(faces.images, side_px=self._side_px)
        return degrade(
            faces.images,
            side_px=self._side_px,
            config=config,
            draws=BatchDraws.of_step(seed=self._config.seed, step=0, batch_size=len(faces)),
            ids=faces.ids,
        )

    def _upscale(self, network: nn.Module, lr: Tensor, landmarks: Tensor | None) -> Tensor:
        inputs = (lr,) if landmarks is None else (lr, landmarks)
        with forward_autocast(self._device, precision=self._config.precision):
            sr: Tensor = network(*inputs)
        return sr.float()

    def _compare(self, sr: Tensor, hr: Tensor, landmarks: Tensor) -> LossTerms:
        with forward_autocast(self._device, precision=self._config.precision):
            return self._loss(sr, hr, landmarks=landmarks)

    def _learn_from_teacher(self, sr: Tensor, lr: Tensor) -> LossTerms:
        if self._teacher is None:
            return LossTerms(sr.new_zeros(()), {})
        with forward_autocast(self._device, precision=self._config.precision):
            return self._teacher.compare(sr, lr)

    def _find_landmarks(self, lr: Tensor) -> Tensor | None:
        if self._landmarker is None:
            return None
        with torch.no_grad():
            return choose_landmarks(self._landmarker, lr).landmarks

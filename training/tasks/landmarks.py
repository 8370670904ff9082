"""Training the Landmarker: the teacher's landmarks of a sharp face, learnt from a degraded one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.landmarks.distance import interocular_distance, normalised_mean_error
from model_store.landmarks.landmarker import Landmarker, LandmarkPrediction
from model_store.landmarks.topology import LEFT_EYE, MOUTH, RIGHT_EYE
from training.config import LandmarkTaskConfig, TrainConfig
from training.data.augmentation import scale_draws, warp_landmarks
from training.data.datasets import FaceBatch, FaceDataset
from training.data.degradation import degrade
from training.data.draws import BatchDraws, step_generator
from training.data.pack import Split
from training.image_grid import mark_points
from training.losses.terms import LossTerms
from training.precision import forward_autocast
from training.quality import (
    RIGHT_WITHIN_NME,
    mouth_opening,
    openings,
)
from training.tasks.landmark_inputs import make_landmark_inputs
from training.tasks.task import ParameterGroup

_DEPTH_WEIGHT = 0.5  # z steers nothing that is drawn; it follows x and y
_EXPRESSIVE_WEIGHT = 2.0  # eyes and mouth, where expressions happen
# Of the mesh's mean distance the lips' gap is a thousandth part; of an expression it is half.
_OPENING_WEIGHT = 0.5
_CONFIDENCE_WEIGHT = 0.05
_VALIDATION_BATCH = 100
_NUM_PREVIEWED = 6
_TEACHER_COLOUR = (0.0, 1.0, 0.0)
_FOUND_COLOUR = (1.0, 0.9, 0.0)


class LandmarkTask:
    """Distance to the teacher's landmarks and openings, and log loss of the confidence.

    Distances are in inter-ocular units; openings are those of mouth and eyes.
    """

    score_name = "negative_nme"

    def __init__(
        self,
        config: TrainConfig,
        *,
        task: LandmarkTaskConfig,
        dataset: FaceDataset,
        device: torch.device,
    ) -> None:
        landmarker = Landmarker(task.network)
        fit_linear_face_model(landmarker, dataset, config, draws=task.face_model_draws)
        self.network: nn.Module = landmarker.to(device)
        self._config = config
        self._task = task
        self._device = device
        self._dataset = dataset
        self._held: dict[Split, list[_HeldFaces]] = {}
        weights = torch.ones(landmarker.mean_landmarks.shape)
        weights[[*MOUTH, *LEFT_EYE, *RIGHT_EYE]] *= _EXPRESSIVE_WEIGHT
        weights[:, 2] *= _DEPTH_WEIGHT
        self._weights = (weights / weights.mean()).to(device)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All parameters alike."""
        return [ParameterGroup(list(self.network.parameters()))]

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        """Return the weighted distance over faces plus the confidence's log loss over all."""
        faces = self._dataset.train_batch(draws)
        has_face = draws.uniform() >= self._task.non_face_probability
        lr, landmarks = make_landmark_inputs(
            faces, has_face=has_face, config=self._config, task=self._task, draws=draws
        )
        prediction = self._predict(self.network, lr)
        landmarks, has_face = landmarks.to(self._device), has_face.to(self._device)
        # Mean over faces by their expected number: the mean over the processes that share a
        # batch is then the mean over the batch.
        weight = has_face.float() / (1 - self._task.non_face_probability)
        unit = interocular_distance(landmarks).clamp_min(0.05)[:, None, None]
        distance = ((prediction.landmarks - landmarks) / unit).abs() * self._weights
        landmark_loss = (distance.mean((1, 2)) * weight).mean()
        opened = (openings(prediction.landmarks) - openings(landmarks)).abs().mean(1)
        opening_loss = (opened * weight).mean()
        nme = normalised_mean_error(prediction.landmarks.detach(), landmarks)
        is_right = ((nme < RIGHT_WITHIN_NME) & has_face).float()
        confidence_loss = F.binary_cross_entropy_with_logits(prediction.confidence_logits, is_right)
        return LossTerms(
            landmark_loss + _OPENING_WEIGHT * opening_loss + _CONFIDENCE_WEIGHT * confidence_loss,
            {
                "landmark_distance": landmark_loss.detach(),
                "opening": opening_loss.detach(),
                "confidence": confidence_loss.detach(),
                "nme": (nme * weight).mean(),
            },
        )

    @torch.no_grad()
    def validate(self, network: nn.Module, split: Split) -> Mapping[str, float]:
        """NME and mouth-opening correlation on held faces, by LR side, unwarped."""
        held = self._hold(split)
        truth = torch.cat([faces.landmarks for faces in held])
        scores: dict[str, float] = {}
        for side in self._task.lr_sides_px:
            found = torch.cat([self._predict(network, f.lr[side]).landmarks for f in held])
            scores[f"nme_{side}px"] = float(normalised_mean_error(found, truth).mean())
            pair = torch.stack([mouth_opening(found), mouth_opening(truth)])
            scores[f"mouth_correlation_{side}px"] = float(torch.corrcoef(pair)[0, 1])
        nme = [scores[f"nme_{side}px"] for side in self._task.lr_sides_px]
        scores["negative_nme"] = -sum(nme) / len(nme)
        return scores

    @torch.no_grad()
    def preview(self, network: nn.Module) -> Tensor:
        """HR with the teacher's landmarks, then each LR side with those found in it."""
        [faces] = self._dataset.held_batches("validation", batch_size=_NUM_PREVIEWED, limit=1)
        columns = [mark_points(faces.images, faces.landmarks, colour=_TEACHER_COLOUR)]
        for side in self._task.lr_sides_px:
            lr = self._degrade_held(faces, side)
            large = F.interpolate(lr, size=faces.images.shape[-2:], mode="nearest")
            found = self._predict(network, lr).landmarks
            columns.append(mark_points(large, found, colour=_FOUND_COLOUR))
        return torch.stack(columns, dim=1)

    def _hold(self, split: Split) -> list["_HeldFaces"]:
        """Prepared when first asked for."""
        if split not in self._held:
            self._held[split] = [
                _HeldFaces(
                    lr={side: self._degrade_held(f, side) for side in self._task.lr_sides_px},
                    landmarks=f.landmarks,
                )
                for f in self._dataset.held_batches(split, batch_size=_VALIDATION_BATCH)
            ]
        return self._held[split]

    def _degrade_held(self, faces: FaceBatch, side: int) -> Tensor:
        draws = BatchDraws.of_step(seed=self._config.seed, step=side, batch_size=len(faces))
        config = self._config.degradation
        return degrade(faces.images, side_px=side, config=config, draws=draws, ids=faces.ids)

    def _predict(self, network: nn.Module, lr: Tensor) -> LandmarkPrediction:
        lr = lr.contiguous(memory_format=torch.channels_last)
        with forward_autocast(self._device, precision=self._config.precision):
            prediction = network(lr)
        assert isinstance(prediction, LandmarkPrediction)
        return prediction


@dataclass(frozen=True)
class _HeldFaces:
    """A batch of faces to score on: LR images by side, and the teacher's landmarks."""

    lr: Mapping[int, Tensor]
    landmarks: Tensor


def fit_linear_face_model(
    landmarker: Landmarker, dataset: FaceDataset, config: TrainConfig, *, draws: int
) -> None:
    """Set the Landmarker's mean face and PCA basis from warped training landmarks.

    The similarity warps of the augmentation are drawn in, because the model must reach every
    framing that the network will be asked for.
    """
    truth = dataset.train_landmarks()
    generator = step_generator(seed=config.seed, step=0)
    rows = torch.randint(len(truth), (draws,), generator=generator).numpy()
    signed = 2 * torch.rand(draws, 4, generator=generator) - 1
    similarity = scale_draws(signed, config.augmentation)
    warped = warp_landmarks(torch.from_numpy(truth[rows]), similarity)
    points = warped.flatten(1).double().numpy()
    mean = points.mean(0)
    covariance = np.cov(points - mean, rowvar=False)
    variances, axes = np.linalg.eigh(covariance)  # ascending
    keep = landmarker.basis.shape[0]
    scaled = axes[:, -keep:].T[::-1] * np.sqrt(variances[-keep:][::-1])[:, None]
    landmarker.mean_landmarks.copy_(torch.from_numpy(mean).view_as(landmarker.mean_landmarks))
    landmarker.basis.copy_(torch.from_numpy(scaled.copy()))

"""Training the Landmarker: the teacher's landmarks of a sharp face, learnt from a degraded one."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.landmarks.landmarker import Landmarker, LandmarkPrediction
from model_store.landmarks.topology import LEFT_EYE, MOUTH, RIGHT_EYE
from training.config import LandmarkTaskConfig, TrainConfig
from training.data.augmentation import augment_faces, scale_draws, warp_landmarks
from training.data.datasets import FaceBatch, FaceDataset
from training.data.degradation import degrade
from training.data.draws import BatchDraws, step_generator
from training.data.faceless import make_faceless
from training.precision import forward_autocast
from training.quality import (
    RIGHT_WITHIN_NME,
    interocular_distance,
    mouth_opening,
    normalised_mean_error,
    openings,
)
from training.tasks.task import LossTerms, ParameterGroup

_DEPTH_WEIGHT = 0.5  # z steers nothing that is drawn; it follows x and y
_EXPRESSIVE_WEIGHT = 2.0  # eyes and mouth, where expressions happen
# Of the mesh's mean distance the lips' gap is a thousandth part; of an expression it is half.
_OPENING_WEIGHT = 0.5
_CONFIDENCE_WEIGHT = 0.05
_VALIDATION_BATCH = 100


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
        self._validation = dataset.validation_batches(batch_size=_VALIDATION_BATCH)
        weights = torch.ones(landmarker.mean_landmarks.shape)
        weights[[*MOUTH, *LEFT_EYE, *RIGHT_EYE]] *= _EXPRESSIVE_WEIGHT
        weights[:, 2] *= _DEPTH_WEIGHT
        self._weights = (weights / weights.mean()).to(device)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """All parameters alike."""
        return [ParameterGroup(list(self.network.parameters()))]

    def compute_loss(self, faces: FaceBatch, *, draws: BatchDraws) -> LossTerms:
        """Return the weighted distance over faces plus the confidence's log loss over all."""
        images, landmarks = augment_faces(
            faces.images,
            faces.landmarks,
            config=self._config.augmentation,
            draws=draws,
        )
        has_face = draws.uniform() >= self._task.non_face_probability
        images = _replace_faceless(images, (~has_face).nonzero()[:, 0], draws)
        prediction = self._predict_by_size(self.network, images, faces.ids, draws)
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
    def validate(self, network: nn.Module) -> Mapping[str, float]:
        """NME and mouth-opening correlation on the validation slice, by LR side, unwarped."""
        scores: dict[str, float] = {}
        for side in self._task.lr_sides_px:
            errors, opened, truth = [], [], []
            for faces in self._validation:
                lr = degrade(
                    faces.images,
                    side_px=side,
                    config=self._config.degradation,
                    draws=BatchDraws.of_step(
                        seed=self._config.seed, step=side, batch_size=len(faces)
                    ),
                    ids=faces.ids,
                )
                with forward_autocast(self._device, precision=self._config.precision):
                    found = network(lr.to(self._device)).landmarks.cpu()
                errors.append(normalised_mean_error(found, faces.landmarks))
                opened.append(mouth_opening(found))
                truth.append(mouth_opening(faces.landmarks))
            scores[f"nme_{side}px"] = float(torch.cat(errors).mean())
            pair = torch.stack([torch.cat(opened), torch.cat(truth)])
            scores[f"mouth_correlation_{side}px"] = float(torch.corrcoef(pair)[0, 1])
        nme = [scores[f"nme_{side}px"] for side in self._task.lr_sides_px]
        scores["negative_nme"] = -sum(nme) / len(nme)
        return scores

    def finish(self, network: nn.Module) -> None:
        """Calibrate the confidence on warped and faceless validation images (Platt scaling)."""
        assert isinstance(network, Landmarker)
        network.calibration.copy_(torch.tensor([1.0, 0.0]))
        logits, is_right = self._collect_confidence(network)
        scaling = torch.tensor([1.0, 0.0], requires_grad=True)
        optimizer = torch.optim.LBFGS([scaling], max_iter=100)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(logits * scaling[0] + scaling[1], is_right)
            loss.backward()
            return loss

        optimizer.step(closure)
        network.calibration.copy_(scaling.detach())

    @torch.no_grad()
    def _collect_confidence(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Logits on validation faces, warped as in training, a third of them made faceless."""
        logits, is_right = [], []
        for number, faces in enumerate(self._validation):
            draws = BatchDraws.of_step(seed=self._config.seed, step=number, batch_size=len(faces))
            images, landmarks = augment_faces(
                faces.images,
                faces.landmarks,
                config=self._config.augmentation,
                draws=draws,
            )
            faceless = torch.arange(0, len(faces), 3)
            images = _replace_faceless(images, faceless, draws)
            found = self._predict_by_size(network, images, faces.ids, draws)
            right = normalised_mean_error(found.landmarks.cpu(), landmarks) < RIGHT_WITHIN_NME
            right[faceless] = False
            logits.append(found.confidence_logits.cpu())
            is_right.append(right.float())
        return torch.cat(logits), torch.cat(is_right)

    def _predict_by_size(
        self, network: nn.Module, images: Tensor, ids: Tensor, draws: BatchDraws
    ) -> LandmarkPrediction:
        """Degrade the faces of a batch to each LR side in turn, then predict them in one batch.

        Smaller sides are brought to the largest by the same bicubic as in the Landmarker, so
        that one forward pass, with one set of batch statistics, serves all of them.
        """
        sides = self._task.lr_sides_px
        order, parts = [], []
        for number, side in enumerate(sides):
            index = (draws.rows % len(sides) == number).nonzero()[:, 0]
            part_draws = draws.select(index)
            if len(index) == 0:
                continue
            part = degrade(
                images[index.to(images.device)],
                side_px=side,
                config=self._config.degradation,
                draws=part_draws,
                ids=ids[index],
            )
            order.append(index)
            parts.append(Landmarker.to_grid(part))
        in_order = torch.cat(order).argsort().to(images.device)
        lr = torch.cat(parts)[in_order].to(self._device, memory_format=torch.channels_last)
        with forward_autocast(self._device, precision=self._config.precision):
            prediction = network(lr)
        assert isinstance(prediction, LandmarkPrediction)
        return prediction


def _replace_faceless(images: Tensor, faceless: Tensor, draws: BatchDraws) -> Tensor:
    """Put faceless pictures in the places ``faceless`` of (N, 3, H, H) images."""
    generators = draws.per_face()
    if len(faceless) == 0:
        return images
    made = [
        make_faceless(images[place : place + 1], generator=generators[place])
        for place in faceless.tolist()
    ]
    return images.index_copy(0, faceless.to(images.device), torch.cat(made))


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

"""Training a classifier of expressions: augment labelled crops, tell their class."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.architectures import classifier_from
from model_store.emotion.classifier import CROP_PX, EMOTIONS
from model_store.emotion.ddamfn import DDAMFN
from training.config import ExpressionTaskConfig, TrainConfig
from training.data.draws import BatchDraws
from training.data.expressions.augmentation import augment_expressions, reduce_and_enlarge
from training.data.expressions.dataset import ExpressionDataset
from training.data.pack import Split
from training.losses.diversity import head_diversity
from training.losses.terms import LossTerms
from training.precision import forward_autocast
from training.quality import accuracy, confusion_matrix, macro_f1, mean_class_accuracy
from training.tasks.task import ParameterGroup

# Faces are scored as they are and as they come back from these sides.
VALIDATION_SIDES_PX = (CROP_PX, 64, 32)
_VALIDATION_BATCH = 128
_BACKBONE_PREFIX = "backbone."
_NUM_PREVIEWED = 12
_FRAME_PX = 3
_RIGHT_COLOUR = (0.0, 0.8, 0.0)
_WRONG_COLOUR = (0.9, 0.0, 0.0)


class ExpressionTask:
    """Cross-entropy with smoothed labels; of DDAMFN also how alike its attention heads are.

    The best weights are those of the highest mean of accuracy and mean class accuracy, on faces as
    they are. Accuracy alone would be bought with the rare expressions (of RAF-DB's faces 2 % show
    fear), mean class accuracy alone rests on the 22 fearful faces of its validation slice.
    """

    score_name = "score"

    def __init__(
        self,
        config: TrainConfig,
        *,
        task: ExpressionTaskConfig,
        dataset: ExpressionDataset,
        device: torch.device,
    ) -> None:
        self.network: nn.Module = classifier_from(task.network).to(device)
        self._config = config
        self._task = task
        self._dataset = dataset
        self._device = device

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The backbone at its own rate, then what is behind it."""
        backbone: list[nn.Parameter] = []
        behind: list[nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            (backbone if name.startswith(_BACKBONE_PREFIX) else behind).append(parameter)
        return [ParameterGroup(backbone, self._task.backbone_rate), ParameterGroup(behind)]

    def compute_loss(self, draws: BatchDraws) -> LossTerms:
        """Return the mean cross-entropy of an augmented batch, and what the heads add to it."""
        faces = self._dataset.train_batch(draws)
        crops = augment_expressions(
            faces.images, config=self._config.augmentation, task=self._task, draws=draws
        )
        weight = self._task.diversity_weight
        if weight > 0:
            logits, diversity = self._attend(crops)
        else:
            logits, diversity = self._classify(self.network, crops), None
        loss = F.cross_entropy(logits, faces.labels, label_smoothing=self._task.label_smoothing)
        is_right = (logits.detach().argmax(1) == faces.labels).float()
        terms = LossTerms(loss, {"cross_entropy": loss.detach(), "accuracy": is_right.mean()})
        if diversity is None:
            return terms
        return terms.plus(LossTerms(weight * diversity, {"diversity": diversity.detach()}))

    @torch.no_grad()
    def validate(self, network: nn.Module, split: Split) -> Mapping[str, float]:
        """Accuracy, mean class accuracy, macro F1 and cross-entropy, by the faces' side."""
        scores: dict[str, float] = {}
        for side in VALIDATION_SIDES_PX:
            logits, labels = self._classify_held(network, split, side_px=side)
            confusion = confusion_matrix(
                labels.numpy(), logits.argmax(1).numpy(), num_classes=len(EMOTIONS)
            )
            scores |= {
                f"accuracy_{side}px": accuracy(confusion),
                f"mean_class_accuracy_{side}px": mean_class_accuracy(confusion),
                f"macro_f1_{side}px": macro_f1(confusion),
                f"cross_entropy_{side}px": float(F.cross_entropy(logits, labels)),
            }
        whole = (scores[f"{name}_{CROP_PX}px"] for name in ("accuracy", "mean_class_accuracy"))
        scores[self.score_name] = float(np.mean(list(whole)))
        return scores

    @torch.no_grad()
    def preview(self, network: nn.Module) -> Tensor:
        """Faces as they are and reduced, framed green where told right and red where not."""
        [faces] = self._dataset.held_batches("validation", batch_size=_NUM_PREVIEWED, limit=1)
        columns = []
        for side in VALIDATION_SIDES_PX:
            crops = reduce_and_enlarge(faces.images, side_px=side)
            is_right = self._classify(network, crops).argmax(1) == faces.labels
            columns.append(_frame(crops, is_right))
        return torch.stack(columns, dim=1)

    def _classify_held(
        self, network: nn.Module, split: Split, *, side_px: int
    ) -> tuple[Tensor, Tensor]:
        """(M, 7) logits and (M,) labels, on the CPU."""
        logits, labels = [], []
        for faces in self._dataset.held_batches(split, batch_size=_VALIDATION_BATCH):
            crops = reduce_and_enlarge(faces.images, side_px=side_px)
            logits.append(self._classify(network, crops).cpu())
            labels.append(faces.labels.cpu())
        return torch.cat(logits), torch.cat(labels)

    def _attend(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 7) logits, and how alike the attention heads are."""
        assert isinstance(self.network, DDAMFN)
        with forward_autocast(self._device, precision=self._config.precision):
            attended = self.network.forward_with_heads(_channels_last(crops))
        return attended.logits.float(), head_diversity(attended.attentions)

    def _classify(self, network: nn.Module, crops: Tensor) -> Tensor:
        with forward_autocast(self._device, precision=self._config.precision):
            logits: Tensor = network(_channels_last(crops))
        return logits.float()


def _channels_last(crops: Tensor) -> Tensor:
    return crops.contiguous(memory_format=torch.channels_last)


def _frame(crops: Tensor, is_right: Tensor) -> Tensor:
    """Frame (N, 3, H, H) crops in the colour of (N,) booleans."""
    right, wrong = (crops.new_tensor(colour) for colour in (_RIGHT_COLOUR, _WRONG_COLOUR))
    colours = torch.where(is_right[:, None], right, wrong)[:, :, None, None]
    framed = colours.expand_as(crops).clone()
    inside = slice(_FRAME_PX, -_FRAME_PX)
    framed[:, :, inside, inside] = crops[:, :, inside, inside]
    return framed

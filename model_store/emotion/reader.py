"""Reading a face's expression: where the face is in the image, then what its crop shows."""

from dataclasses import dataclass

from torch import Tensor, nn

from model_store.emotion.alignment import align_expression_crops
from model_store.emotion.classifier import EmotionClassifier
from model_store.landmarks.fallback import MIN_CONFIDENCE, choose_landmarks
from model_store.landmarks.landmarker import Landmarker


@dataclass(frozen=True)
class EmotionReadings:
    """What is read in N images.

    Attributes:
        probabilities: (N, 7) float32 in the order of EMOTIONS, calibrated; rows sum to 1.
        landmarks: (N, 478, 3) that the faces were aligned by; x, y in [0, 1] of the image.
        confidences: (N,) the Landmarker's, in [0, 1].
        is_fallback: (N,) bool; the mean face stood in for landmarks that were not found, so the
            reading is that of whatever lies where a face usually is.
    """

    probabilities: Tensor
    landmarks: Tensor
    confidences: Tensor
    is_fallback: Tensor


class EmotionReader(nn.Module):
    """A Landmarker and a classifier, together from a face in an image to its expression."""

    def __init__(
        self,
        landmarker: Landmarker,
        classifier: EmotionClassifier,
        *,
        min_confidence: float = MIN_CONFIDENCE,
    ) -> None:
        super().__init__()
        self.landmarker = landmarker
        self.classifier = classifier
        self.min_confidence = min_confidence

    def read(self, images: Tensor) -> EmotionReadings:
        """Read the expressions of faces in (N, 3, H, W) RGB in [0, 1], one to an image, any size.

        The landmarks are found in these very images; below ``min_confidence`` the Landmarker's
        mean face stands in.
        """
        chosen = choose_landmarks(self.landmarker, images, min_confidence=self.min_confidence)
        crops = align_expression_crops(images, chosen.landmarks)
        return EmotionReadings(
            self.classifier.probabilities(crops),
            chosen.landmarks,
            chosen.confidence,
            chosen.is_fallback,
        )

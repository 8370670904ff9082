"""One call of ``detection``: measure the face detector, and publish it if asked to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from model_store.faces.blazeface import BlazeFace
from model_store.faces.detector import FaceDetector, FaceProposal, Judgement
from model_store.faces.finding import find_faces
from model_store.faces.pyramid import Tile
from model_store.faces.tflite_weights import load_blazeface
from model_store.image_tensor import RgbImage, stack_levels
from model_store.landmarks.landmarker import Landmarker
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore
from training.data.pack import open_pack
from training.detection.recall import (
    FindFaces,
    Recall,
    count_false_faces,
    measure_recall,
    recall_text,
    scene_of,
)
from training.detection.scenes import (
    Scene,
    faceless_pictures,
    pasted_scenes,
    read_photos,
    shrunk,
)
from training.errors import DataError, PublishRefusedError, TrainingError
from training.precision import forward_autocast
from training.provenance import current_commit

DETECTOR_NAME = "face-detector"

_SIDES_PX = (8, 10, 12, 16, 20, 24, 32, 48, 96)
# What the service asks of a photo by default.
_MIN_FACE_PX = 8.0
_MAX_LEVEL_PIXELS = 2_000_000
# Asked of a version that is published: at 16 px, and in the pictures without a face.
_REQUIRED_SIDE_PX = 16
_REQUIRED_RECALL = 0.8
_MAX_FALSE_FACES = 0
_LICENCE = (
    "Apache-2.0: converted from face_detection_full_range_sparse.tflite of MediaPipe, Copyright "
    "The MediaPipe Authors. Nothing of it was learnt from the data sets of this project."
)


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """What the command line says.

    Attributes:
        photos: Folder of whole photos with faces; those found at full size are the true ones.
        packs: Folder of the packs.
        tests: Packs whose faces are pasted into pictures without one.
        faces: At most so many of each pack.
        tflite: MediaPipe's file; None measures the published version.
        publish: Make the file's weights a version.
    """

    photos: Path
    packs: Path
    tests: tuple[str, ...]
    faces: int
    tflite: Path | None = None
    publish: bool = False


def measure_detector(
    options: DetectionOptions,
    *,
    store: ModelStore,
    target: ModelStore,
    show: Callable[[str], None],
) -> ModelManifest | None:
    """Measure recall by size and false faces; publish the weights if the options say so.

    Raises:
        PublishRefusedError: too few faces of 16 px are found, or a face where there is none.
        TrainingError: a file, a pack or a photo cannot be used; the message says why.
    """
    network = _open_network(options.tflite, store)
    landmarker = store.load("landmarker").module
    assert isinstance(landmarker, Landmarker)
    find = _finder(FaceDetector(network.look_at, landmarker))
    backgrounds = faceless_pictures()
    num_false = count_false_faces(find, backgrounds)
    rows = [*_measure_photos(options, find), *_measure_packs(options, find, backgrounds)]
    show(recall_text(rows))
    show(f"{num_false} false faces in {len(backgrounds)} pictures without a face")
    if not options.publish:
        return None
    if options.tflite is None:
        raise TrainingError("the published version is published; name MediaPipe's file")
    _check(rows, num_false)
    return target.publish(
        network,
        name=DETECTOR_NAME,
        metrics=_metrics(rows, num_false, num_faceless=len(backgrounds)),
        training=TrainingRecord(
            start=f"{options.tflite.name} of mediapipe, "
            f"sha256 {sha256(options.tflite.read_bytes()).hexdigest()}",
            data={},
            data_digests={},
            steps=0,
            images_seen=0,
            config={},
        ),
        licence=_LICENCE,
        git_commit=current_commit(),
    )


def _open_network(tflite: Path | None, store: ModelStore) -> BlazeFace:
    if tflite is not None:
        try:
            return load_blazeface(tflite)
        except (OSError, ValueError) as error:
            raise DataError(f"{tflite} cannot be read: {error}") from error
    network = store.load(DETECTOR_NAME).module
    if not isinstance(network, BlazeFace):
        raise TrainingError(f"{DETECTOR_NAME} of the store is no face detector")
    return network


def _finder(detector: FaceDetector) -> FindFaces:
    # In the precision that the service takes.
    def propose(tile: Tile) -> list[FaceProposal]:
        with forward_autocast(torch.device("cpu"), precision="auto"):
            return detector.propose(stack_levels([tile.pixels]))[0]

    def judge(crops: Sequence[RgbImage]) -> list[Judgement]:
        with forward_autocast(torch.device("cpu"), precision="auto"):
            return detector.judge(stack_levels(crops))

    return partial(
        find_faces,
        propose=propose,
        judge=judge,
        min_face_px=_MIN_FACE_PX,
        max_level_pixels=_MAX_LEVEL_PIXELS,
    )


def _measure_photos(options: DetectionOptions, find: FindFaces) -> list[tuple[str, int, Recall]]:
    photos = [scene_of(photo, find(photo)) for photo in read_photos(options.photos)]
    scenes = [scene for scene in photos if len(scene.sides)]
    return [
        ("photos", side_px, measure_recall(find, smaller))
        for side_px in _SIDES_PX
        if (smaller := _shrink_to(scenes, side_px))
    ]


def _shrink_to(scenes: Sequence[Scene], side_px: int) -> list[Scene]:
    """The scenes whose median face is larger, made smaller until it is so large."""
    medians = [float(np.median(scene.sides)) for scene in scenes]
    return [
        shrunk(scene, side_px / median)
        for scene, median in zip(scenes, medians, strict=True)
        if median >= side_px
    ]


def _measure_packs(
    options: DetectionOptions, find: FindFaces, backgrounds: Sequence[RgbImage]
) -> list[tuple[str, int, Recall]]:
    rows = []
    for name in options.tests:
        faces = list(open_pack(options.packs / name).images[: options.faces])
        for side_px in _SIDES_PX:
            rng = np.random.default_rng(side_px)
            scenes = pasted_scenes(faces, backgrounds, side_px=side_px, rng=rng)
            rows.append((name, side_px, measure_recall(find, scenes)))
    return rows


def _check(rows: Sequence[tuple[str, int, Recall]], num_false: int) -> None:
    required = [recall.recall for _, side_px, recall in rows if side_px == _REQUIRED_SIDE_PX]
    if not required or min(required) < _REQUIRED_RECALL or num_false > _MAX_FALSE_FACES:
        raise PublishRefusedError(
            f"of {_REQUIRED_SIDE_PX} px faces {min(required, default=0):.1%} are found and "
            f"{num_false} faces where there are none; at least {_REQUIRED_RECALL:.0%} and at most "
            f"{_MAX_FALSE_FACES} are asked for"
        )


def _metrics(
    rows: Sequence[tuple[str, int, Recall]], num_false: int, *, num_faceless: int
) -> dict[str, float]:
    metrics = {f"{name}/recall_{side}px": round(row.recall, 4) for name, side, row in rows}
    return metrics | {
        "false_faces": float(num_false),
        "pictures_without_a_face": float(num_faceless),
    }

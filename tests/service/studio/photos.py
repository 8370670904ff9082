"""A reply for a photo as the interface describes it: three faces, of each kind of fate."""

import base64
from dataclasses import dataclass

from playwright.sync_api import Page, Route, expect

from model_store.emotion.classifier import EMOTIONS
from tests.service.support import as_file, noise


@dataclass(frozen=True)
class Face:
    x: int
    y: int
    side: int
    action: str
    recoverable: bool = True


FACES = (
    Face(10, 12, 20, "upscaled"),
    Face(48, 30, 16, "upscaled", recoverable=False),
    Face(80, 40, 36, "left-alone"),
)


def answer_with_photo(page: Page) -> None:
    """Have the service find faces in photos, always those below, whatever it is sent."""

    def find_photos(route: Route) -> None:
        state = {"status": "ready", "inflight": 0, "capacity": 127, "has_photo_mode": True}
        route.fulfill(json=state)

    def answer(route: Route) -> None:
        route.fulfill(json=photo_reply())

    page.route("**/studio/state", find_photos)
    page.route("**/v1/upscale?*", answer)
    page.reload()
    expect(page.get_by_text("or a whole photo")).to_be_visible()


def photo_reply() -> dict[str, object]:
    return {
        "request_id": "of-a-photo",
        "mode": "photo",
        "factor": 2,
        "background": "lanczos",
        "strength": 1.0,
        "input": {"width": 120, "height": 90},
        "output": {"width": 240, "height": 180},
        "media_type": "image/png",
        "image_base64": base64.b64encode(as_file(noise(240, 180))).decode(),
        "faces_found": len(FACES),
        "notes": ["the background is enlarged by Lanczos"],
        "faces": [_describe(index, face) for index, face in enumerate(FACES)],
    }


def _describe(index: int, face: Face) -> dict[str, object]:
    is_upscaled = face.action == "upscaled"
    return {
        "index": index,
        "box": {"x": face.x, "y": face.y, "width": face.side, "height": face.side},
        "size_px": face.side * 1.25,
        "detection_confidence": 0.9,
        "action": face.action,
        "reason": None if is_upscaled else "the face is larger than the result would be",
        "model": "affectsrnet-x8@1" if is_upscaled else None,
        "scale": 8 if is_upscaled else None,
        "landmarks": "landmarker" if face.recoverable else "fallback",
        "landmark_confidence": 0.97 if face.recoverable else 0.31,
        "readout": "expression" if is_upscaled else "none",
        "expression": _expression(face) if is_upscaled else None,
    }


def _expression(face: Face) -> dict[str, object]:
    reading = {
        "expression": "happy",
        "probabilities": dict.fromkeys(EMOTIONS, 0.05) | {"happy": 0.7},
        "entropy": 1.1,
        "landmarks": "landmarker",
        "landmark_confidence": 0.9,
    }
    return {
        "classifier": {"name": "emotion-tiny", "version": "1", "sha256": "1" * 64},
        "result": reading,
        "input": reading,
        "agrees": True,
        "recoverable_probability": 0.91 if face.recoverable else 0.47,
        "recoverable": face.recoverable,
    }

"""The sample face, which benches send in sizes of their own."""

from PIL import Image

from tests.conftest import ROOT


def sample_face(side_px: int = 128) -> Image.Image:
    """The face of docs/samples, reduced or enlarged by bicubic."""
    face = Image.open(ROOT / "docs" / "samples" / "face_128px.png").convert("RGB")
    return face.resize((side_px, side_px), Image.Resampling.BICUBIC)

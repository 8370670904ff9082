"""Fixtures that every test folder may use."""

import os
from pathlib import Path

import pytest

# Before torch is imported. The networks here are tiny: a second thread waits at barriers for longer
# than it computes, and far longer on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of faces that some tests measure on; it is no part of the repository.

    `AFFECTSR_DATA` names it; a folder `shared/data` beside the checkout is found by itself.
    """
    named = os.environ.get("AFFECTSR_DATA")
    root = Path(named) if named else ROOT.parent / "shared" / "data"
    if root.is_dir():
        return root
    if named:
        pytest.fail(f"AFFECTSR_DATA is {named}, which is no folder; name one or unset it")
    pytest.skip("needs faces that are not in the repository; name their folder in AFFECTSR_DATA")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample face: face_16px.png, face_32px.png, face_128px.png."""
    return ROOT / "docs" / "samples"

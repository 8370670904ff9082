"""Ctrl-C in the middle of a folder: no half file stays, and the same command does the rest."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from service.cli import main
from tests.service.support import as_file, noise

pytestmark = pytest.mark.e2e

# One after the other they take three seconds: time enough for a slow test to interrupt them.
NUM_IMAGES = 60
# Tiny networks are done at once; others take about this long. And where this test runs in a shell's
# background, its processes are born deaf to Ctrl-C.
SLOW_AND_LISTENING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from service.cli import main
from service.upscale_files.outputs import FolderOutput
write = FolderOutput.write
FolderOutput.write = lambda *arguments: (write(*arguments), time.sleep(0.05))[0]
sys.exit(main())
"""


def test_ctrl_c_leaves_whole_files_and_the_next_run_goes_on(
    tmp_path: Path,
    tiny_model_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("AFFECTSR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AFFECTSR_MODEL_ROOT", str(tiny_model_root))
    monkeypatch.setenv("AFFECTSR_TORCH_NUM_THREADS", "1")
    monkeypatch.setenv("AFFECTSR_READOUT", "none")
    (tmp_path / "in").mkdir()
    for seed in range(NUM_IMAGES):
        (tmp_path / "in" / f"{seed}.png").write_bytes(as_file(noise(16, 16, seed=seed)))
    command = ["upscale", "--workers", "1", str(tmp_path / "in"), str(tmp_path / "out")]

    with subprocess.Popen(
        [sys.executable, "-c", SLOW_AND_LISTENING, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline()  # one is done, the others are not
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=60)
    assert first.returncode == 130, said
    assert "stopped; the same command goes on from here" in said
    written = [path for path in (tmp_path / "out").iterdir() if path.name != ".affectsr-journal"]
    assert 0 < len(written) < NUM_IMAGES
    for path in written:
        assert path.suffix == ".png"
        Image.open(io.BytesIO(path.read_bytes())).load()

    assert main(command) == 0
    assert f"skipped as done before, of {NUM_IMAGES} images" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*.png"))) == NUM_IMAGES

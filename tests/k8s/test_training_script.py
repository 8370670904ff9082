"""The shell script of the training Job, around a stand-in for `python`."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.k8s.conftest import built, containers_of

# Says what it was asked for, then waits for a signal, as training does; ends with a status given.
STAND_IN = """#!/bin/sh
trap 'echo checkpoint; exit 0' TERM
echo "$@"
[ -z "$STATUS" ] || exit "$STATUS"
while :; do read -r _ < "$FIFO"; done
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "python"
    program.write_text(STAND_IN, "ascii")
    program.chmod(0o755)
    os.mkfifo(tmp_path / "fifo")
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CONFIG": "x4.toml",
        "RUN": "x4",
        "STATUS": "",
        "FIFO": str(tmp_path / "fifo"),
    }


def start(environment: dict[str, str], data: Path) -> subprocess.Popen[str]:
    (container,) = containers_of(built("training").pods()["Job/affectsr-training"])
    shell, flag, script = container["command"]
    return subprocess.Popen(
        [shell, flag, script.replace("/data", str(data))],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_first_pod_starts_and_a_later_one_resumes(
    environment: dict[str, str], tmp_path: Path
) -> None:
    outputs = []
    for status in ("0", "3"):
        job = start(environment | {"STATUS": status}, tmp_path)
        outputs.append(job.communicate(timeout=20)[0].strip())
        assert job.returncode == int(status)
        (tmp_path / "runs/x4").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs/x4/last.pt").touch()

    first = f"-m training train x4.toml --packs {tmp_path}/packs --runs {tmp_path}/runs --name x4"
    assert outputs == [first, f"{first} --resume"]


def test_told_to_stop_it_saves_and_does_not_count_as_complete(
    environment: dict[str, str], tmp_path: Path
) -> None:
    job = start(environment, tmp_path)
    assert job.stdout is not None
    job.stdout.readline()  # it trains

    job.send_signal(signal.SIGTERM)

    output, _ = job.communicate(timeout=20)
    assert job.returncode == 75
    assert output.strip() == "checkpoint"

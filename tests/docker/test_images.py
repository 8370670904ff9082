"""The Dockerfiles: linted, pinned, without privileges, and copying what exists."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from service.settings import unknown_environment_names

ROOT = Path(__file__).resolve().parents[2]
HADOLINT = str(Path(sys.executable).with_name("hadolint"))
DOCKERFILES = ("service.Dockerfile", "training.Dockerfile")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]


def instructions(name: str) -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined, comments left out."""
    text = (ROOT / "docker" / name).read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in parts]


def of_kind(name: str, kind: str) -> list[str]:
    return [rest for word, rest in instructions(name) if word == kind]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    result = subprocess.run(
        [HADOLINT, str(ROOT / "docker" / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_is_pinned_by_digest_and_every_stage_stands_on_it(name: str) -> None:
    base = of_kind(name, "ARG")[0]
    stages = [stage.split(" AS ") for stage in of_kind(name, "FROM")]
    known = {"${PYTHON}", *(own for _, own in stages)}

    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert all(source in known for source, _ in stages)


def test_both_images_stand_on_the_same_base() -> None:
    service, training = (of_kind(name, "ARG")[0] for name in DOCKERFILES)

    assert service == training


@pytest.mark.parametrize("name", DOCKERFILES)
def test_image_runs_unprivileged_by_exec_form_and_stops_on_sigterm(name: str) -> None:
    assert of_kind(name, "USER") == ["10001:10001"]
    assert of_kind(name, "STOPSIGNAL") == ["SIGTERM"]
    assert all(command.startswith("[") for command in of_kind(name, "ENTRYPOINT"))
    assert all(command.startswith("[") for command in of_kind(name, "CMD"))
    assert len(of_kind(name, "HEALTHCHECK")) == 1


@pytest.mark.parametrize("name", DOCKERFILES)
def test_image_installs_the_lock_and_no_compiler(name: str) -> None:
    runs = " ".join(of_kind(name, "RUN"))
    profile = name.partition(".")[0]

    assert f"--requirement requirements/{profile}.txt" in runs
    assert not re.search(r"\b(gcc|g\+\+|build-essential|make|cargo)\b", runs)
    assert any("PIP_ONLY_BINARY=:all:" in line for line in of_kind(name, "ENV"))
    assert runs.count("pip uninstall --yes pip") == runs.count("docker/sbom.py")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_image_is_labelled_with_the_projects_version(name: str) -> None:
    (label,) = of_kind(name, "LABEL")

    assert f'org.opencontainers.image.version="{VERSION}"' in label
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in label


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [
        source
        for copy in of_kind(name, "COPY")
        if not copy.startswith("--from")
        for source in copy.split()[:-1]
    ]

    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        folders = [f"{source.partition('/')[0]}/", f"{source}/"]
        assert any(f"!{path}" in kept for path in (source, *folders)), source


def test_service_image_carries_no_training() -> None:
    assert not any("training" in copy for copy in of_kind("service.Dockerfile", "COPY"))


def test_service_image_has_both_targets_and_names_only_settings_that_exist() -> None:
    stages = [stage.split(" AS ")[1] for stage in of_kind("service.Dockerfile", "FROM")]
    variables = re.findall(r"(AFFECTSR_\w+)=", " ".join(of_kind("service.Dockerfile", "ENV")))

    assert {"cpu", "cuda"} <= set(stages)
    # What is built where no target is named.
    assert of_kind("service.Dockerfile", "FROM")[-1] == "cpu AS default"
    # A builder that takes the file from its top to the target downloads no CUDA for the CPU.
    assert stages.index("cpu") < stages.index("packages-cuda")
    assert variables
    assert unknown_environment_names(variables) == []

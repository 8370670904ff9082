"""The manifests as kustomize builds them, an overlay at a time."""

import functools
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).resolve().parents[2] / "k8s"
SERVICE_OVERLAYS = ("overlays/cpu", "overlays/gpu", "overlays/keda")
FOLDERS = (*SERVICE_OVERLAYS, "training")

Manifest = Mapping[str, Any]


class Manifests:
    """What a cluster would get from one folder."""

    def __init__(self, documents: list[Manifest]) -> None:
        self.all = documents

    def of_kind(self, kind: str) -> list[Manifest]:
        return [document for document in self.all if document["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        found = [one for one in self.of_kind(kind) if one["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} of {kind} {name}"
        return found[0]

    def pods(self) -> dict[str, Manifest]:
        """The pods' specs, by what makes the pods."""
        makers = [one for one in self.all if "template" in one.get("spec", {})]
        return {
            f"{one['kind']}/{one['metadata']['name']}": one["spec"]["template"]["spec"]
            for one in makers
        }

    def settings(self) -> dict[str, str]:
        """The environment of the service's pods, as far as it is known here."""
        (service,) = containers_of(self.one("Deployment", "affectsr")["spec"]["template"]["spec"])
        values = {}
        for source in service["envFrom"]:
            values |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return values | {one["name"]: one.get("value", "") for one in service["env"]}


def containers_of(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@functools.cache
def kustomize() -> list[str]:
    """The command that builds a folder; kubectl has it inside."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl") is None:
        pytest.skip("neither kustomize nor kubectl is on the PATH")
    version = subprocess.run(
        ["kubectl", "version", "--client"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    if not re.search(r"(?m)^Kustomize Version: v[5-9]", version):
        pytest.skip("this kubectl carries a kustomize older than 5, which the overlays need")
    return ["kubectl", "kustomize"]


@functools.cache
def built(folder: str) -> Manifests:
    """What kustomize makes of a folder below k8s/."""
    return build(K8S / folder)


def build(folder: Path) -> Manifests:
    """What kustomize makes of a folder."""
    result = subprocess.run(
        [*kustomize(), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr  # a deprecated field, say
    return Manifests(list(yaml.safe_load_all(result.stdout)))


@pytest.fixture(params=SERVICE_OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay of the service."""
    return built(request.param)


@pytest.fixture(params=FOLDERS)
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay of the service, and the training Job."""
    return built(request.param)

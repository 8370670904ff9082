"""The components that bring secrets to the pods, in an overlay as an operator writes it."""

import shutil
from pathlib import Path

import pytest
import yaml

from service.settings import unknown_environment_names
from tests.k8s.conftest import K8S, Manifest, Manifests, build, containers_of

COMPONENTS = ("api-keys", "redis-password")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Manifests:
    """The cpu overlay with both components."""
    root = tmp_path_factory.mktemp("manifests") / "k8s"
    shutil.copytree(K8S, root)
    overlay = root / "overlays" / "secured"
    overlay.mkdir()
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../cpu"],
        "components": [f"../../components/{name}" for name in COMPONENTS],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(document), "utf-8")
    return build(overlay)


def pod_of(manifests: Manifests) -> Manifest:
    pod: Manifest = manifests.one("Deployment", "affectsr")["spec"]["template"]["spec"]
    return pod


def test_the_file_of_keys_is_a_folder_of_a_secret_that_the_images_user_may_read(
    secured: Manifests,
) -> None:
    pod = pod_of(secured)
    (container,) = containers_of(pod)
    (volume,) = (one for one in pod["volumes"] if one["name"] == "api-keys")
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "api-keys")
    path = Path(secured.settings()["AFFECTSR_API_KEYS_FILE"])

    assert volume["secret"] == {"secretName": "affectsr-api-keys", "defaultMode": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert mount["readOnly"] is True
    assert "subPath" not in mount  # its content would never change
    assert path.parent == Path(mount["mountPath"])


def test_the_url_of_redis_comes_from_a_secret_alone(secured: Manifests) -> None:
    (container,) = containers_of(pod_of(secured))
    (variable,) = (one for one in container["env"] if one["name"] == "AFFECTSR_REDIS_URL")

    assert "value" not in variable
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "affectsr-redis", "key": "url"}}


def test_no_secret_is_in_the_repository(secured: Manifests) -> None:
    assert secured.of_kind("Secret") == []


def test_every_variable_is_a_setting(secured: Manifests) -> None:
    assert unknown_environment_names(secured.settings()) == []

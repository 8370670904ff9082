"""Every manifest against Kubernetes' own schema, or its operator's."""

import json
import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.k8s.conftest import Manifests, built

# The preStop action `sleep` is there, and on by default, from 1.30 on.
KUBERNETES_VERSIONS = ("1.30", "1.37")
SCHEMAS = Path(__file__).parent / "schemas"
CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_manifests_hold_to_the_schemas_of_kubernetes(manifests: Manifests, version: str) -> None:
    for document in manifests.all:
        if document["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(document, version, strict=True)


def test_custom_resources_hold_to_their_operators_schemas(manifests: Manifests) -> None:
    for document in manifests.all:
        if document["kind"] in CUSTOM_KINDS:
            schema = json.loads((SCHEMAS / f"{document['kind'].lower()}.json").read_text("utf-8"))
            jsonschema.validate(document, schema)


def test_schemas_refuse_what_operators_would() -> None:
    monitor = dict(built("overlays/cpu").one("ServiceMonitor", "affectsr"))
    schema = json.loads((SCHEMAS / "servicemonitor.json").read_text("utf-8"))

    with pytest.raises(jsonschema.ValidationError, match="'selector' is a required property"):
        jsonschema.validate(monitor | {"spec": {"endpoints": []}}, schema)
    with pytest.raises(jsonschema.ValidationError, match="'intervall' was unexpected"):
        endpoint = {"port": "http", "intervall": "15s"}
        jsonschema.validate(monitor | {"spec": {"selector": {}, "endpoints": [endpoint]}}, schema)


def test_names_are_what_kubernetes_takes(manifests: Manifests) -> None:
    for document in manifests.all:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", document["metadata"]["name"])

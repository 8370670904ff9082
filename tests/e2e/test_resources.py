"""A replica with the published models fits what the manifests ask for it."""

from pathlib import Path

import pytest
import yaml

from tests.bench.bench_memory import Process
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RESOURCES = Path(__file__).resolve().parents[2] / "k8s/overlays/cpu/resources.yaml"


def test_ready_replica_takes_no_more_memory_than_its_pod_asks_for(
    started: list[ServerProcess],
) -> None:
    deployment = yaml.safe_load(RESOURCES.read_text("utf-8"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked_mib = int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
    # As in the image, which keeps no converted models.
    server = ServerProcess(["service", "serve", "--port", "0"], {"engine_cache_dir": ""})
    started.append(server)
    server.wait_for_address()

    now_mib, highest_mib = Process(server.pid).memory_mib()

    assert now_mib <= highest_mib <= asked_mib

"""The rules that a schema cannot tell: what makes rollouts, drains and isolation work."""

import re
import tomllib

from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings, unknown_environment_names
from tests.fakes import NearestEngine
from tests.k8s.conftest import K8S, Manifest, Manifests, built, containers_of

ROOT = K8S.parent


def service_pod(manifests: Manifests) -> Manifest:
    return manifests.pods()["Deployment/affectsr"]


def service_container(manifests: Manifests) -> Manifest:
    (container,) = containers_of(service_pod(manifests))
    return container


def settings_of(manifests: Manifests) -> Settings:
    """The service's settings under the pods' environment, without what only the cluster knows."""
    fields = {
        name.removeprefix("AFFECTSR_").lower(): value
        for name, value in manifests.settings().items()
        if value
    }
    return Settings(**fields)


def test_grace_covers_the_longest_way_to_an_end(overlay: Manifests) -> None:
    pod, settings = service_pod(overlay), settings_of(overlay)

    pre_stop = service_container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = settings.drain_delay_seconds + settings.shutdown_grace_seconds
    # A batch that takes longer is taken for hung and answered.
    longest_batch = settings.device_stall_seconds

    assert pod["terminationGracePeriodSeconds"] >= 1.5 * (pre_stop + drain + longest_batch)


def test_rollout_on_gpus_needs_no_spare_one() -> None:
    gpu = built("overlays/gpu").one("Deployment", "affectsr")["spec"]

    assert gpu["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    resources = service_container(built("overlays/gpu"))["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"


def test_rollout_on_cpus_never_lacks_a_pod() -> None:
    cpu = built("overlays/cpu").one("Deployment", "affectsr")["spec"]

    assert cpu["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_every_environment_variable_is_a_setting(overlay: Manifests) -> None:
    names = overlay.settings()

    assert all(name.startswith("AFFECTSR_") for name in names)
    assert unknown_environment_names(names) == []
    settings_of(overlay)  # raises where a value is out of bounds


def test_settings_of_the_gpu_overlay_are_the_bases_and_its_own() -> None:
    gpu, cpu = built("overlays/gpu").settings(), built("overlays/cpu").settings()

    assert cpu.items() < gpu.items()
    assert settings_of(built("overlays/gpu")).device == "cuda"


def test_ports_agree(overlay: Manifests) -> None:
    settings = settings_of(overlay)
    ports = {port["name"]: port["containerPort"] for port in service_container(overlay)["ports"]}

    assert settings.http_host == "0.0.0.0"
    assert ports == {"http": settings.http_port}
    (service_port,) = overlay.one("Service", "affectsr")["spec"]["ports"]
    assert service_port["targetPort"] == "http"


def test_probes_and_scrapes_ask_paths_that_the_service_answers(overlay: Manifests) -> None:
    container = service_container(overlay)
    probes = [container[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    (endpoint,) = overlay.one("ServiceMonitor", "affectsr")["spec"]["endpoints"]
    paths = [probe["httpGet"]["path"] for probe in probes] + [endpoint["path"]]

    with TestClient(create_app(Settings(), engine=NearestEngine())) as client:
        answers = {path: client.get(path).status_code for path in paths}

    assert answers == {"/startupz": 200, "/readyz": 200, "/livez": 200, "/metrics": 200}
    assert all(probe["httpGet"]["port"] == "http" for probe in probes)
    assert endpoint["port"] == "http"


def test_pods_are_confined_as_restricted_pod_security_asks(manifests: Manifests) -> None:
    for maker, pod in manifests.pods().items():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, maker
        assert context["runAsUser"] > 0, maker
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, maker
        assert pod["automountServiceAccountToken"] is False, maker
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), maker
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "name"}
        assert all(volume.keys() <= allowed for volume in pod.get("volumes", [])), maker
        for container in containers_of(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, maker
            assert own["capabilities"] == {"drop": ["ALL"]}, maker
            assert own["readOnlyRootFilesystem"] is True, maker


def test_the_service_runs_as_the_images_user_with_a_small_tmp(overlay: Manifests) -> None:
    pod = service_pod(overlay)

    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["enableServiceLinks"] is False
    assert pod["volumes"] == [
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    ]


def test_every_container_has_bounded_memory_and_a_share_of_cores(manifests: Manifests) -> None:
    for maker, pod in manifests.pods().items():
        for container in containers_of(pod):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), maker
            assert "memory" in container["resources"]["limits"], maker


def test_memory_has_room_for_uploads_beside_what_a_ready_replica_takes(overlay: Manifests) -> None:
    resources = service_container(overlay)["resources"]
    asked, most = (mebibytes(resources[kind]["memory"]) for kind in ("requests", "limits"))

    assert most - asked >= settings_of(overlay).max_held_body_bytes / 2**20 + 16  # and /tmp


def mebibytes(text: str) -> int:
    """A quantity of Kubernetes, in MiB."""
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def test_threads_follow_the_limit_of_cores(overlay: Manifests) -> None:
    sources = {
        one["name"]: one["valueFrom"]["resourceFieldRef"]["resource"]
        for one in service_container(overlay)["env"]
        if "resourceFieldRef" in one.get("valueFrom", {})
    }

    assert sources == {
        "AFFECTSR_TORCH_NUM_THREADS": "limits.cpu",
        "AFFECTSR_CODEC_THREADS": "limits.cpu",
    }
    assert "cpu" in service_container(overlay)["resources"]["limits"]


def test_images_are_pinned(manifests: Manifests) -> None:
    for maker, pod in manifests.pods().items():
        for container in containers_of(pod):
            image = container["image"]
            # Ours are built from this repository; whose are not are named by digest, too.
            digest = "" if "/affectsr" in image else "@sha256:[0-9a-f]{64}"
            assert re.search(rf":\d+\.\d+\.\d+[\w.-]*{digest}$", image), f"{maker}: {image}"


def test_our_images_have_the_projects_version(manifests: Manifests) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    ours = [
        container["image"]
        for pod in manifests.pods().values()
        for container in containers_of(pod)
        if "/affectsr" in container["image"]
    ]

    assert ours
    assert all(re.search(rf":{re.escape(version)}(-cpu|-cuda)?$", image) for image in ours)


def test_everything_selects_the_services_pods(overlay: Manifests) -> None:
    deployment = overlay.one("Deployment", "affectsr")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    service = overlay.one("Service", "affectsr")
    monitor = overlay.one("ServiceMonitor", "affectsr")["spec"]
    spreads = service_pod(overlay)["topologySpreadConstraints"]

    selectors = [
        deployment["selector"]["matchLabels"],
        service["spec"]["selector"],
        overlay.one("PodDisruptionBudget", "affectsr")["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spreads),
    ]

    assert all(selector.items() <= labels.items() for selector in selectors)
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    # Dashboards and alerts find the service by job="affectsr".
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "affectsr"


def test_a_node_may_be_drained_while_the_service_goes_on(overlay: Manifests) -> None:
    budget = overlay.one("PodDisruptionBudget", "affectsr")["spec"]
    replicas = overlay.one("Deployment", "affectsr")["spec"].get("replicas")
    if replicas is None:  # KEDA's autoscaler sets it
        replicas = overlay.one("ScaledObject", "affectsr")["spec"]["minReplicaCount"]

    assert budget["maxUnavailable"] == 1
    assert replicas >= 2


# --- isolation ------------------------------------------------------------------------------------


def test_everything_is_denied_that_is_not_allowed(overlay: Manifests) -> None:
    policy = overlay.one("NetworkPolicy", "default-deny")["spec"]

    assert policy == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_service_reaches_nothing_but_redis_and_dns(overlay: Manifests) -> None:
    allowed = []
    for policy in overlay.of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to") and rule.get("ports"), "an empty list allows everything"
            for peer in rule["to"]:
                assert "ipBlock" not in peer
                pods = peer["podSelector"]["matchLabels"]
                namespace = peer.get("namespaceSelector", {}).get("matchLabels")
                allowed.append((namespace, pods, [port["port"] for port in rule["ports"]]))

    redis = overlay.one("StatefulSet", "redis")["spec"]["template"]["metadata"]["labels"]
    dns = {"kubernetes.io/metadata.name": "kube-system"}
    assert allowed == [(dns, {"k8s-app": "kube-dns"}, [53, 53]), (None, redis, ["redis"])]


def test_only_named_callers_reach_the_service_and_only_it_reaches_redis(overlay: Manifests) -> None:
    (service,) = overlay.one("NetworkPolicy", "affectsr-ingress")["spec"]["ingress"]
    (redis,) = overlay.one("NetworkPolicy", "redis-ingress")["spec"]["ingress"]

    assert [peer["namespaceSelector"]["matchLabels"] for peer in service["from"]] == [
        {"affectsr.client": "true"},
        {"kubernetes.io/metadata.name": "monitoring"},
    ]
    (peer,) = redis["from"]
    labels = overlay.one("Deployment", "affectsr")["spec"]["template"]["metadata"]["labels"]
    assert peer == {"podSelector": {"matchLabels": labels}}


# --- scaling and training -------------------------------------------------------------------------


def test_keda_owns_the_number_of_pods() -> None:
    keda = built("overlays/keda")

    assert "replicas" not in keda.one("Deployment", "affectsr")["spec"]
    assert keda.one("ScaledObject", "affectsr")["spec"]["scaleTargetRef"] == {"name": "affectsr"}


def test_keda_scales_by_the_queue_before_admission_refuses() -> None:
    keda = built("overlays/keda")
    (trigger,) = keda.one("ScaledObject", "affectsr")["spec"]["triggers"]
    settings = settings_of(keda)

    assert 'affectsr_queue_depth{job="affectsr"}' in trigger["metadata"]["query"]
    threshold = int(trigger["metadata"]["threshold"])
    assert settings.max_batch_size <= threshold <= settings.admission_capacity / 2


def test_the_training_job_goes_on_from_its_volume() -> None:
    training = built("training")
    job = training.one("Job", "affectsr-training")["spec"]
    pod = job["template"]["spec"]

    (container,) = containers_of(pod)
    claim = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert training.one("PersistentVolumeClaim", claim)
    assert pod["restartPolicy"] == "Never"  # what podFailurePolicy needs
    assert job["podFailurePolicy"]["rules"][0]["onPodConditions"] == [
        {"type": "DisruptionTarget", "status": "True"}
    ]
    assert "/data/runs" in container["command"][-1]
    variables = training.of_kind("ConfigMap")[0]["data"]
    assert (ROOT / variables["CONFIG"]).is_file()

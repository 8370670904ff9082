"""One digest of all that results depend on beside the request: when it changes, so may they.

What was made under one fingerprint is not given out under another; so replicas of two versions that
share a Redis during a rollout never see each other's results.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from model_store.manifest import ModelManifest
from service.engine.base import EngineDescription, ServedVersion
from service.settings import Settings

# No reply is other for these. A setting that does not stand here counts, so that a new one errs on
# the safe side.
_INDIFFERENT = frozenset(
    {
        "api_keys_file",
        "cache",
        "cache_bytes",
        "cache_redis_bytes",
        "cache_ttl_seconds",
        "codec_threads",
        "device_stall_seconds",
        "drain_delay_seconds",
        "ecm_set_ttl_seconds",
        "engine_cache_dir",
        "http_host",
        "http_port",
        "keep_alive_seconds",
        "log_format",
        "log_level",
        "max_batch_pixels",
        "max_batch_size",
        "max_body_bytes",
        "max_connections",
        "max_ecm_sets",
        "max_held_body_bytes",
        "max_images_per_request",
        "max_request_timeout_ms",
        "max_wait_ms",
        "min_face_confidence",
        "model_root",
        "queue_capacity",
        "readout",
        "redis_timeout_ms",
        "redis_url",
        "request_timeout_ms",
        "shutdown_grace_seconds",
        "torch_num_threads",
        "upload_timeout_ms",
    }
)


def results_fingerprint(
    settings: Settings,
    *,
    engine: EngineDescription,
    served: Iterable[ServedVersion],
    loaded: Mapping[str, ModelManifest],
    release: str,
) -> str:
    """Digest all that the results of one process depend on, as 64 hexadecimal digits.

    Args:
        settings: those count that a result may depend on.
        engine: what computes; two kinds of device, or of arithmetic, round differently.
        served: the networks that answer, in the order in which they are chosen from.
        loaded: every version that was loaded for it, by reference: also the landmarker and the
            calibrations, which no reply names.
        release: of the service, whose code is part of it.
    """
    document = {
        "release": release,
        "engine": (engine.name, engine.device.partition(":")[0], engine.dtype),
        "settings": settings.model_dump(mode="json", exclude=set(_INDIFFERENT)),
        "served": [(version.reference, version.weights_sha256) for version in served],
        "loaded": {name: asdict(manifest) for name, manifest in sorted(loaded.items())},
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

"""Every knob of the service: one field each, with default, unit and the reason for the default.

Read from the environment (`AFFECTSR_...`) once, when a `Settings` is made, never at import.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENV_PREFIX = "AFFECTSR_"

# Kubernetes writes these for every service of the namespace; one that is named "affectsr" makes
# AFFECTSR_PORT=tcp://..., which is why no field here is called `port`.
_KUBERNETES_LINKS = re.compile(r"AFFECTSR_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?)")


class Settings(BaseSettings):
    """The service's configuration, checked as a whole before anything starts."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    http_host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    http_port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks one.")

    studio: bool = Field(True, description="Whether `/` shows the web page; the interface stays.")

    model_root: Path | None = Field(
        None, description="Folder of published models; unset: the versions that come along."
    )
    models: Annotated[tuple[str, ...], NoDecode] = Field(
        ("affectsrnet-x4", "affectsrnet-x8"),
        min_length=1,
        description="Models to load, separated by commas; `name@version` pins one.",
    )
    landmarker_model: str = Field(
        "landmarker", description="Model that finds the landmarks and holds the mean face."
    )
    emotion_model: str = Field(
        "emotion-mobilefacenet",
        description="Expression classifier of `/v1/ecm` and of the readout; empty does without "
        "both.",
    )
    readout: Literal["expression", "none"] = Field(
        "expression",
        description="Whether a reply of `/v1/upscale` tells the expressions of result and input, "
        "where the request does not say.",
    )
    face_detector_model: str = Field(
        "face-detector",
        description="Model that finds the faces of a whole photo; empty does without photo mode.",
    )
    landmarks: Literal["landmarker", "mediapipe"] = Field(
        "landmarker",
        description="Who finds the landmarks. `mediapipe` is the paper's way, one face at a time; "
        "it needs the extra of that name.",
    )
    min_landmark_confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Below this confidence of the landmarker the mean face stands in.",
    )

    min_face_confidence: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Below this confidence of the landmarker `/v1/ecm` refuses an image as "
        "faceless. It is below 0.01 for 99 % of faceless pictures; none of 450 test faces was "
        "below 0.04.",
    )

    engine: Literal["auto", "torch", "openvino", "cuda"] = Field(
        "auto",
        description="Who computes. `auto` takes the fastest one that can be had and computes what "
        "the reference does: OpenVINO on a CPU, `cuda` (PyTorch as CUDA graphs) on a GPU, else "
        "`torch`. One that is named and cannot be had keeps the service from starting.",
    )
    engine_cache_dir: Path | None = Field(
        Path("~/.cache/affectsr"),
        description="Folder in which OpenVINO's converted models are kept from start to start, "
        "90 MB a release; it may be deleted at any time. Empty: each start converts them anew.",
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = Field(
        "auto", description="`auto` takes a CUDA device where there is one; else `cpu`, `cuda:0`."
    )
    cpu_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Arithmetic on a CPU. `auto` takes bfloat16 where that is measured to be "
        "faster on this CPU: colours a third of a level in 255 off; float32 is the reference.",
    )
    torch_num_threads: int = Field(
        0, ge=0, description="CPU threads of the network; 0 takes every core."
    )

    max_batch_size: int = Field(
        8,
        ge=1,
        le=256,
        description="Faces in one forward pass. On a CPU more only makes each of them wait; "
        "raise it on a GPU.",
    )
    max_batch_pixels: int = Field(
        32 * 128 * 128,
        ge=128 * 128,
        description="Output pixels of one forward pass; bounds its memory. A face has 16384.",
        json_schema_extra={"unit": "px"},
    )
    max_wait_ms: float = Field(
        0,
        ge=0,
        le=1000,
        description="How long an idle device waits for a fuller batch; with one device waiting "
        "never wins.",
        json_schema_extra={"unit": "ms"},
    )
    device_stall_seconds: float = Field(
        10,
        gt=0,
        description="A batch that runs for longer than this, and for twice as long as any before, "
        "is taken for hung: its callers are answered 503 and readiness falls.",
        json_schema_extra={"unit": "s"},
    )
    queue_capacity: int = Field(
        128,
        ge=2,
        description="Images that may wait; admission stays below it and answers 429 beyond.",
    )

    max_images_per_request: int = Field(16, ge=1, description="Images in one request.")
    max_body_bytes: int = Field(
        16 * 2**20,
        ge=1024,
        description="Bytes of a whole request: sixteen crops of 1 MiB.",
        json_schema_extra={"unit": "bytes"},
    )
    max_held_body_bytes: int = Field(
        256 * 2**20,
        ge=1024,
        description="Bytes of the bodies of all requests at once, arriving or waiting; a request "
        "that would exceed it is answered 429.",
        json_schema_extra={"unit": "bytes"},
    )
    max_image_bytes: int = Field(
        8 * 2**20,
        ge=1024,
        description="Bytes of one image: a 1024 px PNG with 16 bits and alpha just fits.",
        json_schema_extra={"unit": "bytes"},
    )
    min_image_side_px: int = Field(
        8,
        ge=1,
        description="Shorter side of an image: below it a face has no expression.",
        json_schema_extra={"unit": "px"},
    )
    max_image_side_px: int = Field(
        1024,
        ge=32,
        le=16384,
        description="Longer side of an image: more is a photo, not a face crop.",
        json_schema_extra={"unit": "px"},
    )
    max_aspect_ratio: float = Field(
        4,
        ge=1,
        description="Longer side over shorter side: beyond it next to nothing of the network's "
        "square grid would be face.",
    )
    max_photo_pixels: int = Field(
        2**24,
        ge=1024,
        le=64 * 2**20,
        description="Pixels of a photo: a camera's 12 megapixels and more.",
        json_schema_extra={"unit": "px"},
    )
    max_photo_output_pixels: int = Field(
        48 * 2**20,
        ge=1024,
        description="Pixels of an upscaled photo: 12 megapixels twice as wide and high. Each takes "
        "three bytes, and four more while its file is written.",
        json_schema_extra={"unit": "px"},
    )
    max_detection_pixels: int = Field(
        2 * 2**20,
        ge=1024,
        description="Pixels of a photo as faces are looked for in it: smaller photos are enlarged "
        "up to here, of larger ones the smallest faces are not found. It is what a search costs.",
        json_schema_extra={"unit": "px"},
    )
    max_faces_per_photo: int = Field(
        64, ge=1, description="Faces of one photo that are told and upscaled, the largest first."
    )
    max_face_px: float = Field(
        48,
        ge=8,
        description="Side of a face's crop in a photo above which it is left alone: the networks "
        "would reduce it to 32 px first and lose more than they add.",
        json_schema_extra={"unit": "px"},
    )
    codec_threads: int = Field(
        0, ge=0, description="Threads that decode and encode; 0 takes one for each core."
    )

    api_keys_file: Path | None = Field(
        None,
        description="File of API keys, one a line: a name, the SHA-256 of the key in hex and, if "
        "wanted, a limit of requests a minute. Read again when it changes. Unset: everybody may "
        "call.",
    )

    redis_url: SecretStr | None = Field(
        None,
        description="Redis for what replicas share: the running ECM sets, the counts of API keys "
        "with a limit and, if wanted, results (`AFFECTSR_CACHE`). `redis://HOST:6379/0`, "
        "`rediss://` or `unix://`. Unset: each process keeps its own, in memory. While it is away "
        "each does so for limits and results; only the sets need it.",
    )
    redis_timeout_ms: int = Field(
        50,
        ge=1,
        le=10_000,
        description="How long Redis may take to connect, and to answer; then a request for a set "
        "is answered 503, and all else does without. After three such failures in a row, or "
        "fifteen answers that took a fifth of it, nobody waits for it until a probe is answered.",
        json_schema_extra={"unit": "ms"},
    )
    cache: Literal["off", "local", "shared"] = Field(
        "off",
        description="Whether results of `/v1/upscale` are kept and given out again for the same "
        "image and parameters: `local` in the memory of each process, `shared` in Redis, too. Off "
        "by default, since it keeps faces for longer than their request.",
    )
    cache_ttl_seconds: int = Field(
        3600,
        ge=1,
        le=30 * 24 * 3600,
        description="A result is kept for no longer than this.",
        json_schema_extra={"unit": "s"},
    )
    cache_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description="Memory that kept results take in each process; a 128 px PNG takes 40 KiB.",
        json_schema_extra={"unit": "bytes"},
    )
    cache_redis_bytes: int = Field(
        96 * 2**20,
        ge=2**20,
        description="While Redis uses more memory than this, whatever for, no further result is "
        "kept there: the running sets need room, too.",
        json_schema_extra={"unit": "bytes"},
    )
    ecm_set_ttl_seconds: int = Field(
        7 * 24 * 3600,
        ge=1,
        le=366 * 24 * 3600,
        description="A running set is forgotten so long after pairs were last added.",
        json_schema_extra={"unit": "s"},
    )
    max_ecm_sets: int = Field(
        1000,
        ge=1,
        description="Running sets at once, of each API key's name where keys are in use; a set "
        "takes 70 kB, whatever it holds.",
    )

    upload_timeout_ms: int = Field(
        20_000,
        ge=1,
        description="Time for a request's head to arrive, and again for its body; a slower one is "
        "answered 408.",
        json_schema_extra={"unit": "ms"},
    )
    request_timeout_ms: int = Field(
        30_000,
        ge=1,
        description="Deadline of a request that names none in X-Request-Timeout-Ms.",
        json_schema_extra={"unit": "ms"},
    )
    max_request_timeout_ms: int = Field(
        120_000,
        ge=1,
        description="Longest deadline that a request may name.",
        json_schema_extra={"unit": "ms"},
    )
    max_connections: int = Field(
        4096,
        ge=1,
        description="Connections that may be open, and never more than half of the files that the "
        "process may open. Beyond it the one that has been without a request for longest is "
        "closed; where all have one, a new one is answered 503.",
    )
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        description="Idle time of a connection: longer than a load balancer's usual 60 s, so that "
        "it closes first.",
        json_schema_extra={"unit": "s"},
    )
    drain_delay_seconds: float = Field(
        5,
        ge=0,
        le=300,
        description="How long requests are still accepted after SIGTERM, readiness being gone, so "
        "that load balancers notice. 0 where there is none.",
        json_schema_extra={"unit": "s"},
    )
    shutdown_grace_seconds: int = Field(
        30,
        ge=1,
        description="Time for admitted work to finish after that.",
        json_schema_extra={"unit": "s"},
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written."
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` writes text to a terminal and JSON lines elsewhere."
    )

    @field_validator("models", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("engine_cache_dir", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _check_bounds_against_each_other(self) -> "Settings":
        if self.max_images_per_request > self.admission_capacity:
            raise ValueError(
                f"max_images_per_request is {self.max_images_per_request} and queue_capacity is "
                f"{self.queue_capacity}; a full request could never be admitted: raise "
                f"queue_capacity to at least {self.max_images_per_request + 1}"
            )
        if self.cache == "shared" and self.redis_url is None:
            raise ValueError(
                "cache is shared and redis_url is not set; name a Redis, or set cache to local"
            )
        if self.request_timeout_ms > self.max_request_timeout_ms:
            raise ValueError(
                f"request_timeout_ms is {self.request_timeout_ms}; it must not exceed "
                f"max_request_timeout_ms, {self.max_request_timeout_ms}"
            )
        if self.max_body_bytes > self.max_held_body_bytes:
            raise ValueError(
                f"max_body_bytes is {self.max_body_bytes}; it must not exceed "
                f"max_held_body_bytes, {self.max_held_body_bytes}"
            )
        if self.max_image_bytes > self.max_body_bytes:
            raise ValueError(
                f"max_image_bytes is {self.max_image_bytes}; it must not exceed max_body_bytes, "
                f"{self.max_body_bytes}"
            )
        if self.min_image_side_px > self.max_image_side_px:
            raise ValueError(
                f"min_image_side_px is {self.min_image_side_px}; it must not exceed "
                f"max_image_side_px, {self.max_image_side_px}"
            )
        return self

    @property
    def admission_capacity(self) -> int:
        """Images that may be admitted at once: one less than the queue holds.

        Every queued image was admitted and counts at least 1 there, so the queue is never full.
        """
        return self.queue_capacity - 1

    @property
    def photo_cost(self) -> int:
        """What a photo counts at admission, and how much of it is in the queue at most at once.

        One batch of its tiles or faces on the device and one behind it.
        """
        return min(2 * self.max_batch_size, self.admission_capacity)


def environment_name(field: str) -> str:
    """Name of the environment variable that sets a field."""
    return f"{ENV_PREFIX}{field}".upper()


def unknown_environment_names(names: Iterable[str] | None = None) -> list[str]:
    """Variables with our prefix that no field reads: most likely misspelt, so worth a warning."""
    known = {environment_name(field) for field in Settings.model_fields}
    present = os.environ if names is None else names
    return sorted(
        name
        for name in present
        if name.upper().startswith(ENV_PREFIX)
        and name.upper() not in known
        and not _KUBERNETES_LINKS.fullmatch(name.upper())
    )


def describe_invalid_settings(error: ValidationError) -> str:
    """One line that names each wrong setting by its environment variable, value and limit."""
    parts = []
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            name = environment_name(str(problem["loc"][0]))
            parts.append(f"{name}={problem['input']}: {message}")
        else:
            parts.append(message)
    return "; ".join(parts)


def settings_markdown() -> str:
    """The settings as a table in Markdown; the README holds a copy that a test compares."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        unit = extra.get("unit") if isinstance(extra, dict) else None
        default = _describe_default(field.default)
        lines.append(
            f"| `{environment_name(name)}` | {default}{f' {unit}' if unit else ''} "
            f"| {field.description} |"
        )
    return "\n".join(lines) + "\n"


def _describe_default(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`"

"""`affectsr upscale`: image files through the same pipeline as the service's, without HTTP."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.app import open_store
from service.engine.torch_engine import load_torch_engine
from service.engine_room import StageTimes, open_engine_room
from service.errors import ServiceError
from service.images import MediaType
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.pipeline import UpscaledFile, UpscaleOrder, UpscalePipeline
from service.schemas import Expression
from service.settings import Settings

_MEDIA_TYPES: dict[str, MediaType] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


@dataclass(frozen=True)
class FileJob:
    """One file to read and the one to write."""

    source: Path
    target: Path

    @property
    def media_type(self) -> MediaType:
        return _MEDIA_TYPES[self.target.suffix.lower()]


def plan_outputs(sources: Sequence[Path], out: Path) -> list[FileJob]:
    """Say which file each source is written to, before anything is read or loaded.

    Raises:
        ValueError: a source is no file, or a target would be unwritable, ambiguous or a source.
    """
    for source in sources:
        if not source.is_file():
            raise ValueError(f"{source} is no file; name an image to read")
    if len(sources) > 1 and not out.is_dir():
        raise ValueError(f"{out} is no folder; several images need an existing folder as OUT")
    if out.is_dir():
        jobs = [FileJob(source, out / _target_name(source)) for source in sources]
    else:
        jobs = [FileJob(sources[0], out)]
    for job in jobs:
        _check_target(job, sources)
    targets = [job.target for job in jobs]
    for target in targets:
        if targets.count(target) > 1:
            raise ValueError(f"two images would be written to {target}; upscale them one by one")
    return jobs


async def upscale_files(
    jobs: Sequence[FileJob], settings: Settings, *, scale: int | None, model: str | None
) -> AsyncIterator[tuple[FileJob, str | ServiceError | OSError]]:
    """Upscale one after the other; gives a line for each that is done, or why it is not.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    async with open_engine_room(
        settings,
        lambda: load_torch_engine(open_store(settings), settings),
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
        warm_up=False,
    ) as room:
        pipeline = UpscalePipeline(room)
        for job in jobs:
            try:
                order = UpscaleOrder(
                    images=[job.source.read_bytes()],
                    scale=scale,
                    model=model,
                    media_type=job.media_type,
                    wants_readout=settings.readout == "expression",
                )
                outcome: str | ServiceError | OSError = await _upscale_one(pipeline, job, order)
            except (ServiceError, OSError) as error:
                outcome = error
            yield job, outcome


async def _upscale_one(pipeline: UpscalePipeline, job: FileJob, order: UpscaleOrder) -> str:
    started_at = time.monotonic()
    (outcome,) = await pipeline.upscale(order, StageTimes())
    if isinstance(outcome, ServiceError):
        raise outcome
    job.target.write_bytes(outcome.data)
    return _describe(job, outcome, seconds=time.monotonic() - started_at)


def _describe(job: FileJob, result: UpscaledFile, *, seconds: float) -> str:
    fields = result.fields
    confidence = fields.landmark_confidence
    parts = [
        fields.model,
        f"{fields.input.width}x{fields.input.height} -> "
        f"{fields.output.width}x{fields.output.height}",
        f"landmarks: {fields.landmarks}"
        + ("" if confidence is None else f" (confidence {confidence:.2f})"),
        *_describe_expression(fields.expression),
        f"{seconds * 1000:.0f} ms",
    ]
    if fields.resampled is not None:
        grid = fields.resampled.to_size
        parts.insert(2, f"resampled to {grid.width}x{grid.height} first")
    return f"{job.target}: {', '.join(parts)}"


def _describe_expression(expression: Expression | None) -> list[str]:
    if expression is None:
        return []
    result, given = expression.result.expression, expression.input.expression
    return [f"expression: {result}" + ("" if expression.agrees else f" (input: {given})")]


def _target_name(source: Path) -> str:
    return source.name if source.suffix.lower() in _MEDIA_TYPES else source.stem + ".png"


def _check_target(job: FileJob, sources: Sequence[Path]) -> None:
    if job.target.suffix.lower() not in _MEDIA_TYPES:
        raise ValueError(
            f"{job.target} names no format; end it in {', '.join(_MEDIA_TYPES)}, or name a folder"
        )
    if not job.target.parent.is_dir():
        raise ValueError(f"{job.target.parent} is no folder; make it first")
    for source in sources:
        if job.target.exists() and job.target.samefile(source):
            raise ValueError(f"{job.target} is an input; it would be overwritten: name another OUT")

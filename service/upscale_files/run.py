"""The work of `affectsr upscale`: what is done is skipped, the rest goes through the pipeline."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Literal

from model_store.store import ModelStore
from service.command_room import open_command_room
from service.engine_room import StageTimes
from service.errors import DeviceLostError, ServiceError
from service.photo import PhotoFile, PhotoPipeline
from service.pipeline import UpscaledFile, UpscaleOrder, UpscalePipeline
from service.schemas import Expression
from service.settings import Settings
from service.upscale_files.journal import Journal
from service.upscale_files.outputs import Output
from service.upscale_files.photos import PhotoWishes, describe_photo_line
from service.upscale_files.plan import FileJob


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """What the command line asks for.

    Attributes:
        scale: None leaves it to each image's size.
        model: "name" or "name@version"; None leaves it open.
        num_at_once: images in memory at once; the engine batches what it finds waiting.
        photo: what is wanted of whole photos; None takes each image for a crop.
    """

    scale: int | None = None
    model: str | None = None
    num_at_once: int
    photo: PhotoWishes | None = None


@dataclass(frozen=True)
class JobOutcome:
    """What became of a job.

    Attributes:
        job: the job.
        status: `skipped`: it was done before.
        text: how it was made, or why it could not be; empty if skipped.
    """

    job: FileJob
    status: Literal["upscaled", "skipped", "failed"]
    text: str = ""


def describe_options(options: UpscaleOptions, settings: Settings, store: ModelStore) -> str:
    """All that decides a result but its source and the arithmetic of the device, as text.

    Raises:
        ModelStoreError: a model of the settings is not there.
    """
    names = [*settings.models, settings.landmarker_model]
    photo = {}
    if options.photo is not None:
        names.append(settings.face_detector_model)
        photo = {"photo": asdict(options.photo), "max_face_px": settings.max_face_px}
    return json.dumps(
        {
            **photo,
            "scale": options.scale,
            "model": options.model,
            "weights": {name: store.resolve(name).weights_sha256 for name in names},
            "landmarks": settings.landmarks,
            "min_landmark_confidence": settings.min_landmark_confidence,
        },
        sort_keys=True,
    )


async def upscale_files(
    jobs: Sequence[FileJob],
    output: Output,
    settings: Settings,
    options: UpscaleOptions,
    *,
    journal: Journal | None,
) -> AsyncGenerator[JobOutcome, None]:
    """Upscale every image that is not done yet, several at once; gives outcomes as they come.

    A failing image stops no other. Without anything to do no model is loaded.

    Args:
        jobs: what to make of what.
        output: where results are written.
        settings: name the models.
        options: the command line's.
        journal: knows what is done and is told what will be; None skips nothing.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
        RequestError: the options ask for a model that is not served.
        DeviceLostError: the device fails whatever it is given.
        OSError: the journal cannot be written.
    """
    to_do: list[FileJob] = []
    for job in jobs:
        if journal is not None and await asyncio.to_thread(_is_done, journal, job):
            yield JobOutcome(job, "skipped")
        else:
            to_do.append(job)
    if not to_do:
        return
    if journal is not None:
        journal.begin(to_do)
    async with open_command_room(settings) as room:
        work = _Work(
            UpscalePipeline(room), PhotoPipeline(room, settings), output, settings, options, journal
        )
        async with aclosing(
            _several_at_once(to_do, work.do, num_at_once=options.num_at_once)
        ) as outcomes:
            async for outcome in outcomes:
                yield outcome


class _Work:
    """One job after the other through one pipeline."""

    def __init__(
        self,
        pipeline: UpscalePipeline,
        photos: PhotoPipeline,
        output: Output,
        settings: Settings,
        options: UpscaleOptions,
        journal: Journal | None,
    ) -> None:
        # A model that is not served fails them all, so it is told once.
        pipeline.catalogue.requested(name=options.model, scale=options.scale)
        self._pipeline = pipeline
        self._photos = photos
        self._output = output
        self._wants_readout = settings.readout == "expression"
        self._options = options
        self._journal = journal

    async def do(self, job: FileJob) -> JobOutcome:
        """Read, upscale and write one image; raises DeviceLostError only."""
        started_at = time.monotonic()
        try:
            data = await asyncio.to_thread(job.source.read)
            outcome = await self._upscale(job, data)
            await asyncio.to_thread(self._write, job, outcome.data)
            if self._journal is not None:
                self._journal.enter(job, self._journal.digest(data))
        except DeviceLostError:
            raise
        except (ServiceError, OSError) as error:
            return JobOutcome(job, "failed", str(error))
        return JobOutcome(job, "upscaled", _describe(outcome, time.monotonic() - started_at))

    async def _upscale(self, job: FileJob, data: bytes) -> UpscaledFile | PhotoFile:
        """Raises ServiceError."""
        if self._options.photo is not None:
            wanted = self._options.photo.order(
                data,
                scale=self._options.scale,
                model=self._options.model,
                media_type=job.media_type,
                wants_readout=self._wants_readout,
            )
            photo = await self._photos.upscale(wanted, StageTimes())
            if isinstance(photo, PhotoFile):
                return photo
        order = UpscaleOrder(
            images=[data],
            scale=self._options.scale,
            model=self._options.model,
            media_type=job.media_type,
            wants_readout=self._wants_readout,
        )
        (outcome,) = await self._pipeline.upscale(order, StageTimes())
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def _write(self, job: FileJob, data: bytes) -> None:
        self._output.write(job.name, data)


def _is_done(journal: Journal, job: FileJob) -> bool:
    try:
        return journal.is_done(job)
    except (ServiceError, OSError):
        return False  # why it cannot be read is told where it is to be upscaled


async def _several_at_once(
    jobs: Sequence[FileJob],
    work: Callable[[FileJob], Coroutine[None, None, JobOutcome]],
    *,
    num_at_once: int,
) -> AsyncGenerator[JobOutcome, None]:
    """Keep so many jobs going; gives outcomes in the order in which they end."""
    waiting = iter(jobs)
    running: set[asyncio.Task[JobOutcome]] = set()
    try:
        while True:
            while len(running) < num_at_once and (job := next(waiting, None)) is not None:
                running.add(asyncio.create_task(work(job)))
            if not running:
                return
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _describe(result: UpscaledFile | PhotoFile, seconds: float) -> str:
    if isinstance(result, PhotoFile):
        return f"{describe_photo_line(result.fields)}, {seconds * 1000:.0f} ms"
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
    return ", ".join(parts)


def _describe_expression(expression: Expression | None) -> list[str]:
    if expression is None:
        return []
    result, given = expression.result.expression, expression.input.expression
    return [f"expression: {result}" + ("" if expression.agrees else f" (input: {given})")]

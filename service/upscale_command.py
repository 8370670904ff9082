"""`affectsr upscale` as its user sees it: checks, progress, errors at the end, exit status."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from model_store.errors import ModelStoreError
from service.engine.loading import open_store
from service.errors import DeviceLostError, RequestError, StartupError
from service.settings import Settings
from service.terminal import (
    EXIT_DEVICE_LOST,
    EXIT_FAILED,
    EXIT_NO_START,
    EXIT_STOPPED,
    EXIT_USAGE,
    fail,
)
from service.upscale_files.journal import Journal
from service.upscale_files.outputs import ArchiveOutput, FolderOutput, Output
from service.upscale_files.photos import PhotoWishes
from service.upscale_files.plan import OutputPlan, plan_outputs
from service.upscale_files.run import (
    JobOutcome,
    UpscaleOptions,
    describe_options,
    upscale_files,
)
from service.upscale_files.sources import FoundSources, open_sources

_PHOTOS_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class UpscaleCommand:
    """The command line.

    Attributes:
        inputs: files, folders, archives, patterns.
        out: file, folder or archive.
        scale: None leaves it to each image's size.
        model: "name" or "name@version"; None leaves it open.
        photo: what is wanted of whole photos; None takes each image for a crop.
        suffix: of every result; None keeps the source's.
        workers: images at once; None takes what fills a batch.
        may_overwrite: nothing is skipped, and files that are there are replaced.
        keeps_journal: in an output folder, to skip what is done another time.
    """

    inputs: Sequence[str]
    out: Path
    scale: int | None
    model: str | None
    photo: PhotoWishes | None
    suffix: str | None
    workers: int | None
    may_overwrite: bool
    keeps_journal: bool


@dataclass
class _Tally:
    """What became of the jobs so far."""

    num_upscaled: int = 0
    num_skipped: int = 0
    failed: list[JobOutcome] = field(default_factory=list)

    def add(self, outcome: JobOutcome) -> None:
        match outcome.status:
            case "upscaled":
                self.num_upscaled += 1
            case "skipped":
                self.num_skipped += 1
            case "failed":
                self.failed.append(outcome)


class _Progress(Protocol):
    def update(self, n: float = 1) -> object: ...


def run_upscale(command: UpscaleCommand, settings: Settings) -> int:
    """Run the command and print what becomes of it; returns the exit status."""
    try:
        options = _options(command, settings)
        with open_sources(
            command.inputs, out=command.out, max_image_bytes=_max_bytes(command, settings)
        ) as found:
            plan = plan_outputs(found.sources, command.out, suffix=command.suffix)
            journal = _journal(command, plan, options, settings)
            return _upscale(found, plan, journal, settings, options)
    except (ValueError, RequestError) as error:
        return fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return fail(str(error), EXIT_NO_START)
    except DeviceLostError as error:
        return fail(str(error), EXIT_DEVICE_LOST)
    except OSError as error:
        return fail(str(error), EXIT_FAILED)


def _options(command: UpscaleCommand, settings: Settings) -> UpscaleOptions:
    most = settings.admission_capacity
    default = settings.max_batch_size
    if command.photo is not None:
        # Their faces fill batches together, so that more would only take memory.
        most, default = most // settings.photo_cost, _PHOTOS_AT_ONCE
    workers = command.workers
    if workers is None:
        workers = min(default, most)
    elif not 1 <= workers <= most:
        raise ValueError(
            f"--workers is {workers}; it must be 1 to {most}, below AFFECTSR_QUEUE_CAPACITY"
        )
    return UpscaleOptions(
        scale=command.scale, model=command.model, num_at_once=workers, photo=command.photo
    )


def _max_bytes(command: UpscaleCommand, settings: Settings) -> int:
    return settings.max_image_bytes if command.photo is None else settings.max_body_bytes


def _journal(
    command: UpscaleCommand, plan: OutputPlan, options: UpscaleOptions, settings: Settings
) -> Journal | None:
    """The folder's journal if one is to be kept; files that are in the way are told here.

    Raises:
        ValueError: a result would replace a file that is not known to be one of ours.
        ModelStoreError: a model of the settings is not there.
    """
    if plan.kind != "folder":
        return None
    journal = Journal(plan.root, options=describe_options(options, settings, open_store(settings)))
    in_the_way = journal.foreign(plan.jobs)
    if in_the_way and not command.may_overwrite:
        more = f" and {len(in_the_way) - 1} more" if len(in_the_way) > 1 else ""
        raise ValueError(
            f"{in_the_way[0]}{more} would be replaced, and no journal says that this command made "
            "it; give --overwrite or name another OUT"
        )
    if not command.keeps_journal:
        journal.remove()  # it would not know of what is made now
        return None
    if command.may_overwrite:
        journal.forget()
    return journal


def _upscale(
    found: FoundSources,
    plan: OutputPlan,
    journal: Journal | None,
    settings: Settings,
    options: UpscaleOptions,
) -> int:
    tally = _Tally()
    output: Output = ArchiveOutput(plan.out) if plan.kind == "archive" else FolderOutput(plan.root)

    async def run(progress: _Progress | None) -> None:
        outcomes = upscale_files(plan.jobs, output, settings, options, journal=journal)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                tally.add(outcome)
                _show(outcome, plan, progress)

    is_stopped = False
    try:
        with output, _progress(len(plan.jobs)) as progress:
            asyncio.run(run(progress))
    except KeyboardInterrupt:
        is_stopped = True
    return _summarise(tally, found, plan, is_stopped=is_stopped)


def _show(outcome: JobOutcome, plan: OutputPlan, progress: _Progress | None) -> None:
    if outcome.status == "upscaled" and (progress is None or not sys.stdout.isatty()):
        target = (
            plan.out / outcome.job.name if plan.kind == "archive" else plan.root / outcome.job.name
        )
        print(f"{target}: {outcome.text}", flush=True)
    if progress is not None:
        progress.update()


@contextmanager
def _progress(num_jobs: int) -> Iterator[_Progress | None]:
    """A bar where somebody looks and there is more than one image to wait for."""
    if num_jobs == 1 or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=num_jobs, unit="image", dynamic_ncols=True) as bar:
        yield bar


def _summarise(tally: _Tally, found: FoundSources, plan: OutputPlan, *, is_stopped: bool) -> int:
    for outcome in tally.failed:
        fail(f"{outcome.job.source.label}: {outcome.text}", EXIT_FAILED)
    if len(plan.jobs) > 1 or found.num_left_alone or is_stopped:
        counts = [
            f"{tally.num_upscaled} upscaled",
            *([f"{tally.num_skipped} skipped as done before"] if tally.num_skipped else []),
            *([f"{len(tally.failed)} failed"] if tally.failed else []),
            *([f"{found.num_left_alone} other files left alone"] if found.num_left_alone else []),
        ]
        print(f"affectsr: {', '.join(counts)}, of {len(plan.jobs)} images", file=sys.stderr)
    if is_stopped:
        remedy = (
            "the same command goes on from here" if plan.kind == "folder" else "nothing was written"
        )
        return fail(f"stopped; {remedy}", EXIT_STOPPED)
    return EXIT_FAILED if tally.failed else 0

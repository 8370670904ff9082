"""What each source becomes, and whether it may: all that can be known before any work."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from service.images import MediaType
from service.upscale_files.sources import ARCHIVE_SUFFIX, MEDIA_TYPES, Source

OutputKind = Literal["file", "folder", "archive"]


@dataclass(frozen=True)
class FileJob:
    """One image to read and the one to write.

    Attributes:
        source: the former.
        name: the latter's, relative to the plan's root or inside its archive.
    """

    source: Source
    name: str

    @property
    def media_type(self) -> MediaType:
        return MEDIA_TYPES[PurePosixPath(self.name).suffix.lower()]


@dataclass(frozen=True)
class OutputPlan:
    """What is written where.

    Attributes:
        jobs: no two have one name, whatever the file system makes of upper case.
        kind: a file that was named, files in a folder, or files in a zip archive.
        out: the file, the folder or the archive.
    """

    jobs: Sequence[FileJob]
    kind: OutputKind
    out: Path

    @property
    def root(self) -> Path:
        """The folder that names of jobs are relative to, unless it is an archive's."""
        return self.out if self.kind == "folder" else self.out.parent


def plan_outputs(sources: Sequence[Source], out: Path, *, suffix: str | None) -> OutputPlan:
    """Say what each source is written to, before anything is read or loaded; makes the folder.

    Args:
        sources: at least one.
        out: a file, whose suffix says the format; a folder, made if there is none; or a zip
            archive.
        suffix: of every result, such as ".png"; None keeps that of the source.

    Raises:
        ValueError: two sources would become one, a source would be overwritten, or `out` cannot
            be written.
    """
    kind = _kind_of(out, num_sources=len(sources))
    if kind == "file":
        if suffix not in (None, out.suffix.lower()):
            raise ValueError(f"{out} is to be a {suffix[1:]} file; end it in {suffix}")
        jobs = [FileJob(sources[0], out.name)]
    else:
        jobs = [FileJob(source, _target_name(source.name, suffix)) for source in sources]
    _check_names(jobs)
    plan = OutputPlan(jobs, kind, out)
    _check_no_source_is_written(plan)
    _check_writable(plan)
    return plan


def _kind_of(out: Path, *, num_sources: int) -> OutputKind:
    suffix = out.suffix.lower()
    if out.is_dir():
        return "folder"
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is no folder; make it first")
    if suffix == ARCHIVE_SUFFIX:
        return "archive"
    if suffix in MEDIA_TYPES:
        if num_sources > 1:
            raise ValueError(
                f"{out} is no folder; several images need a folder or a zip archive as OUT"
            )
        return "file"
    if suffix or out.exists():
        raise ValueError(
            f"{out} names no format; end it in {', '.join((*MEDIA_TYPES, ARCHIVE_SUFFIX))}, or "
            "name a folder"
        )
    return "folder"


def _target_name(name: str, suffix: str | None) -> str:
    path = PurePosixPath(name)
    if suffix is None:
        suffix = path.suffix if path.suffix.lower() in MEDIA_TYPES else ".png"
    return str(path.with_suffix(suffix))


def _check_names(jobs: Sequence[FileJob]) -> None:
    taken: dict[str, FileJob] = {}
    for job in jobs:
        other = taken.setdefault(job.name.casefold(), job)
        if other is not job:
            raise ValueError(
                f"{other.source.label} and {job.source.label} would both be written to {job.name}; "
                "rename one, keep their formats, or upscale them into folders of their own"
            )


def _check_no_source_is_written(plan: OutputPlan) -> None:
    inputs = {_identity(job.source.file) for job in plan.jobs}
    targets = [plan.out] if plan.kind == "archive" else [plan.root / job.name for job in plan.jobs]
    for target in targets:
        if target.exists() and _identity(target) in inputs:
            raise ValueError(f"{target} is an input; it would be overwritten: name another OUT")


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_dev, status.st_ino


def _check_writable(plan: OutputPlan) -> None:
    """Make the folder, and see whether a file can be made in it, which permissions do not tell."""
    try:
        if plan.kind == "folder":
            plan.out.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=plan.root):
            pass
    except OSError as error:
        raise ValueError(
            f"{plan.root} cannot be written ({error.strerror}); make it writable or name another "
            "OUT"
        ) from error

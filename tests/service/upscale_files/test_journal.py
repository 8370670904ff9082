import json
from pathlib import Path

import pytest

from service.upscale_files.journal import JOURNAL_NAME, Journal
from service.upscale_files.plan import FileJob
from service.upscale_files.sources import FileSource


@pytest.fixture
def job(tmp_path: Path) -> FileJob:
    source = tmp_path / "face.jpg"
    source.write_bytes(b"a face")
    return FileJob(FileSource(source, "face.jpg"), "out.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def do(job: FileJob, folder: Path, *, options: str = "x4") -> None:
    journal = Journal(folder, options=options)
    journal.begin([job])
    (folder / job.name).write_bytes(b"a result")
    journal.enter(job, journal.digest(job.source.read()))


def test_what_was_done_is_known_another_time(job: FileJob, folder: Path) -> None:
    do(job, folder)
    journal = Journal(folder, options="x4")
    assert journal.is_done(job)
    assert journal.foreign([job]) == []


def test_other_source_other_options_or_a_lost_result_are_not_done(
    job: FileJob, folder: Path
) -> None:
    do(job, folder)
    assert not Journal(folder, options="x8").is_done(job)
    job.source.file.write_bytes(b"another face")
    assert not Journal(folder, options="x4").is_done(job)
    job.source.file.write_bytes(b"a face")
    (folder / job.name).unlink()
    assert not Journal(folder, options="x4").is_done(job)


def test_result_that_was_begun_is_ours_and_not_done(job: FileJob, folder: Path) -> None:
    Journal(folder, options="x4").begin([job])
    (folder / job.name).write_bytes(b"written, and killed before it was entered")
    journal = Journal(folder, options="x4")
    assert not journal.is_done(job)
    assert journal.foreign([job]) == []


def test_file_of_somebody_elses_is_foreign(job: FileJob, folder: Path) -> None:
    (folder / job.name).write_bytes(b"holiday picture")
    assert Journal(folder, options="x4").foreign([job]) == [folder / job.name]


def test_line_that_a_kill_cut_off_is_left_out(job: FileJob, folder: Path) -> None:
    do(job, folder)
    path = folder / JOURNAL_NAME
    path.write_text(path.read_text("utf-8")[:-5], "utf-8")
    journal = Journal(folder, options="x4")
    assert not journal.is_done(job)
    journal.begin([job])
    journal.enter(job, journal.digest(b"a face"))
    assert Journal(folder, options="x4").is_done(job)


def test_journal_tells_nothing_by_which_a_face_could_be_found(job: FileJob, folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    do(job, folder)
    do(job, other)
    digests = []
    for place in (folder, other):
        lines = (place / JOURNAL_NAME).read_text("utf-8").splitlines()
        assert "face.jpg" not in "".join(lines)
        assert set(json.loads(lines[-1])) == {"file", "digest"}
        digests.append(json.loads(lines[-1])["digest"])
    assert digests[0] != digests[1]


@pytest.mark.parametrize("text", ["", "[]\n", '{"affectsr_journal": 2, "key": "00"}\n', "x\n"])
def test_file_that_is_no_journal_is_refused(text: str, job: FileJob, folder: Path) -> None:
    (folder / JOURNAL_NAME).write_text(text, "utf-8")
    with pytest.raises(ValueError, match="no journal that this version can read; delete it"):
        Journal(folder, options="x4")


def test_forgotten_results_are_ours_and_not_done(job: FileJob, folder: Path) -> None:
    do(job, folder)
    journal = Journal(folder, options="x4")
    journal.forget()
    assert not journal.is_done(job)
    assert journal.foreign([job]) == []

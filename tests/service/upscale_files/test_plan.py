import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.upscale_files.plan import OutputPlan, plan_outputs
from service.upscale_files.sources import FileSource


def planned(
    folder: Path, names: Sequence[str], out: str, *, suffix: str | None = None
) -> OutputPlan:
    sources = []
    for name in names:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        sources.append(FileSource(path, name))
    return plan_outputs(sources, folder / out, suffix=suffix)


def refusal(folder: Path, names: Sequence[str], out: str, *, suffix: str | None = None) -> str:
    with pytest.raises(ValueError) as raised:
        planned(folder, names, out, suffix=suffix)
    return str(raised.value)


def test_folder_is_made_and_names_are_kept(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["a.jpg", "sub/b.PNG", "c.tiff"], "out")
    assert (plan.kind, plan.root.is_dir()) == ("folder", True)
    assert [job.name for job in plan.jobs] == ["a.jpg", "sub/b.PNG", "c.png"]
    assert [job.media_type for job in plan.jobs] == ["image/jpeg", "image/png", "image/png"]


def test_format_that_is_asked_for_is_every_results(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["a.jpg", "b.png"], "out.zip", suffix=".webp")
    assert (plan.kind, [job.name for job in plan.jobs]) == ("archive", ["a.webp", "b.webp"])


def test_one_image_may_be_written_to_a_file(tmp_path: Path) -> None:
    plan = planned(tmp_path, ["a.jpg"], "b.PNG")
    assert (plan.kind, [job.name for job in plan.jobs], plan.root) == ("file", ["b.PNG"], tmp_path)


@pytest.mark.parametrize(
    ("names", "suffix"),
    [(["a.jpg", "a.png"], ".png"), (["a.png", "A.PNG"], None), (["a.png", "a.tiff"], None)],
)
def test_two_results_of_one_name_are_refused_also_where_only_case_differs(
    names: Sequence[str], suffix: str | None, tmp_path: Path
) -> None:
    told = refusal(tmp_path, names, "out", suffix=suffix)
    assert f"{names[0]} and " in told
    assert "would both be written to" in told
    assert not (tmp_path / "out").exists()


def test_input_is_no_output(tmp_path: Path) -> None:
    assert "a.png is an input; it would be overwritten" in refusal(tmp_path, ["a.png"], "in")
    assert "is an input" in refusal(tmp_path, ["a.png"], "in/a.png")


def test_input_is_no_output_by_another_name_of_the_same_file(tmp_path: Path) -> None:
    planned(tmp_path, ["a.png"], "first.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "in" / "a.png")
    assert "link.png is an input" in refusal(tmp_path, ["a.png"], "link.png")


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("out.gif", "out.gif names no format; end it in .jpg, .jpeg, .png, .webp, .zip"),
        ("nowhere/out", "nowhere is no folder; make it first"),
        ("out.png", "out.png is no folder; several images need a folder or a zip archive"),
    ],
)
def test_out_that_cannot_be_is_told(out: str, says: str, tmp_path: Path) -> None:
    assert says in refusal(tmp_path, ["a.png", "b.png"], out)


def test_format_and_name_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    told = refusal(tmp_path, ["a.png"], "out.jpg", suffix=".png")
    assert told.endswith("out.jpg is to be a png file; end it in .png")


@pytest.mark.skipif(sys.platform != "linux", reason="no folder that nobody can write is known")
def test_folder_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"/proc cannot be written .*make it writable or name"):
        plan_outputs([FileSource(tmp_path, "a.png")], Path("/proc"), suffix=None)

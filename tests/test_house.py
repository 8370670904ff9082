"""What holds for the repository as a whole: imports, locks, documents, the entry script."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from importlinter.cli import lint_imports
from PIL import Image

import run
from service import cli

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")
LOCKS = ("service", "training", "test")
BINARY_SUFFIXES = {".png", ".jpg", ".webp", ".safetensors", ".npy", ".npz", ".gif"}
# Home folders and mounts of somebody's machine. Classes keep this line from matching itself.
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:hom[e]/\w|roo[t]/|User[s]/\w|wor[k]/|mn[t]/)|[A-Z]:\\User[s]"
)


def tracked_text_files() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in BINARY_SUFFIXES]


def locked(profile: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{profile}.txt").read_text("utf-8")
    return dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", text))


# --- who imports whom -----------------------------------------------------------------------------


def test_import_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)

    assert status == 0, capsys.readouterr().out


def test_mediapipe_is_imported_in_one_file_only_and_there_lazily() -> None:
    importers = set()
    for package in ("service", "model_store", "training"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            if any(imports_mediapipe(node) for node in ast.walk(tree)):
                importers.add(path.relative_to(ROOT).as_posix())
            assert not any(imports_mediapipe(node) for node in tree.body), path

    assert importers == {"model_store/landmarks/mediapipe_mesh.py"}


def imports_mediapipe(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "mediapipe" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "mediapipe"
    return False


# --- locks and metadata ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", LOCKS)
def test_lock_pins_torch_without_build_tag_and_no_cuda(profile: str) -> None:
    versions = locked(profile)

    assert versions["torch"] == "2.13.0"
    assert not [name for name in versions if name.startswith(("nvidia", "triton", "cuda"))]


@pytest.mark.parametrize("profile", LOCKS)
def test_lock_names_no_index_and_no_file(profile: str) -> None:
    text = (ROOT / "requirements" / f"{profile}.txt").read_text("utf-8")

    assert not re.search(r"^-|://", text, flags=re.MULTILINE)


def test_test_lock_holds_the_other_locks_in_the_same_versions() -> None:
    assert locked("service").items() <= locked("training").items() <= locked("test").items()


def test_locks_hold_every_declared_dependency() -> None:
    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~; \[]", line)[0].lower() for line in requirements}

    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]

    assert names(project["dependencies"]) <= set(locked("service"))
    assert names(extras["training"]) <= set(locked("training"))
    assert names([line for lines in extras.values() for line in lines]) <= set(locked("test"))


def test_installed_version_is_the_projects() -> None:
    version = PYPROJECT["project"]["version"]

    assert importlib.metadata.version("affectsr") == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


# --- documents ------------------------------------------------------------------------------------


def test_readme_settings_table_is_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    written = README.partition("<!-- settings:begin -->")[2].partition("<!-- settings:end -->")[0]

    cli.main(["settings", "--markdown"])

    remedy = "paste the output of `affectsr settings --markdown` between the README's markers"
    assert written.strip() == capsys.readouterr().out.strip(), remedy


def test_readme_has_no_open_slot() -> None:
    comments = re.findall(r"<!--.*?-->", README, flags=re.DOTALL)

    assert comments == ["<!-- settings:begin -->", "<!-- settings:end -->"]


def test_relative_links_lead_to_files() -> None:
    for path in tracked_text_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_tracked_text_names_no_machine_path() -> None:
    for path in tracked_text_files():
        found = MACHINE_PATH.search(path.read_text("utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found}"


def test_tracked_text_is_plain_ascii() -> None:
    assert [path for path in tracked_text_files() if not path.read_bytes().isascii()] == []


def test_pre_commit_runs_the_same_linters_as_the_test_command() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    entries = re.findall(r"entry: \.venv/bin/(.+)", hooks)

    assert entries == [" ".join(command) for _, command in run.CHECKS]


# --- the sample face ------------------------------------------------------------------------------


@pytest.mark.parametrize("side_px", [32, 16])
def test_small_sample_is_the_bicubic_reduction_of_the_large_one(
    samples: Path, side_px: int
) -> None:
    hr = Image.open(samples / "face_128px.png")
    lr = Image.open(samples / f"face_{side_px}px.png")

    reduced = hr.resize((side_px, side_px), Image.Resampling.BICUBIC)

    assert hr.size == (128, 128)
    assert np.array_equal(np.asarray(reduced), np.asarray(lr))


# --- run.py ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("", False),
        ("global.cert='/etc/ssl/ca.pem'\n:env:.default-timeout='180'\n", False),
        ("global.index-url='https://mirror.example/simple'\n", True),
        (":env:.find-links='wheels'\n", True),
        ("install.extra-index-url='https://mirror.example/simple'\n", True),
    ],
)
def test_own_index_of_pip_is_recognised(configuration: str, expected: bool) -> None:
    assert run.has_own_index(configuration) is expected


def test_lock_loses_local_build_tags_only() -> None:
    text = "torch==2.13.0+cpu         # via affectsr\nnumpy==1.26.4  # via torch+more\n"

    assert run.without_build_tags(text) == (
        "torch==2.13.0         # via affectsr\nnumpy==1.26.4  # via torch+more\n"
    )


def test_unsupported_python_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or 3\.12.*this is 3\.10.*Install"):
        run.find_python()


def test_python_without_ensurepip_is_refused_with_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SystemExit, match=r"apt-get install python3\.1[12]-venv"):
        run.create_venv(sys.executable)


def test_stamp_changes_with_the_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "service.txt").write_text("torch==2.13.0\n", "utf-8")
    monkeypatch.setattr(run, "REQUIREMENTS", tmp_path)
    before = run.fingerprint("service")

    (tmp_path / "service.txt").write_text("torch==2.13.0\npillow==13.0.0\n", "utf-8")

    assert run.fingerprint("service") != before


def test_unknown_setup_profile_is_refused_with_the_choice() -> None:
    with pytest.raises(SystemExit, match="setup takes one of: service, training, test; got: cuda"):
        run.main(["setup", "cuda"])

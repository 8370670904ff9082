"""One command to start the service, one to run the tests, from a machine that has only Python.

    python3 run.py serve [arguments of `affectsr serve`]
    python3 run.py test  [arguments of pytest]
    python3 run.py setup [service | training | test]    only prepare .venv
    python3 run.py lock                                 write requirements/*.txt anew

Everything is installed into .venv beside this file, from the locked requirements. Nothing but pip
touches the network. A later start finds its stamp in .venv and installs nothing.
Standard library only.
"""

from __future__ import annotations  # an older Python must get as far as the version check

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
REQUIREMENTS = ROOT / "requirements"

SUPPORTED_PYTHONS = ((3, 12), (3, 11))
# test.txt holds all that service.txt and training.txt hold, in the same versions.
PROFILES = ("service", "training", "test")
# PyPI's torch for Linux brings gigabytes of CUDA packages; this index carries the CPU build.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CHECKS = (
    ("ruff check", ["ruff", "check", "."]),
    ("ruff format --check", ["ruff", "format", "--check", "."]),
    ("mypy", ["mypy"]),
    ("lint-imports", ["lint-imports"]),
)


def main(arguments: list[str]) -> int:
    """Dispatch `run.py COMMAND ...`; returns the exit status."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if command == "serve":
        return serve(rest)
    if command == "test":
        return run_tests(rest)
    if command == "setup":
        profile = rest[0] if rest else "service"
        if len(rest) > 1 or profile not in PROFILES:
            fail("setup takes one of: {}; got: {}".format(", ".join(PROFILES), " ".join(rest)))
        prepare(profile)
        return 0
    if command == "lock":
        return lock()
    print(__doc__)
    return 0 if command in ("help", "-h", "--help") else 2


def serve(arguments: list[str]) -> int:
    """Start the service; on POSIX this process becomes it, so that signals reach it directly."""
    prepare("service")
    program = executable("affectsr")
    sys.stdout.flush()
    if os.name == "nt":
        return subprocess.call([program, "serve", *arguments])
    os.execv(program, [program, "serve", *arguments])


def run_tests(arguments: list[str]) -> int:
    """Run every check, then the tests. All run even when one fails; pytest's summary comes last."""
    prepare("test")
    failed = []
    for title, command in CHECKS:
        say(title)
        if subprocess.call([executable(command[0]), *command[1:]], cwd=ROOT) != 0:
            failed.append(title)
    if failed:
        say("FAILED so far: {}".format(", ".join(failed)))
    say("pytest")
    status = subprocess.call([executable("pytest"), "-m", "not gpu", *arguments], cwd=ROOT)
    return status or int(bool(failed))


def lock() -> int:
    """Resolve pyproject.toml into requirements/*.txt, test.txt first as it holds the others."""
    prepare("test")
    environment = dict(os.environ, CUSTOM_COMPILE_COMMAND="python3 run.py lock")
    extras = {"test": ["training", "dev"], "training": ["training"], "service": []}
    for profile, names in extras.items():
        target = REQUIREMENTS / (profile + ".txt")
        command = [executable("pip-compile"), "--quiet", "--strip-extras", "--allow-unsafe"]
        command += ["--build-deps-for=editable", "--no-emit-index-url", "--no-emit-find-links"]
        command += ["--no-emit-trusted-host", "--no-emit-options", "--annotation-style=line"]
        command += ["--extra=" + name for name in names]
        if profile != "test":
            command += ["--constraint=requirements/test.txt"]
        if not has_own_index(pip_configuration()):
            command += ["--extra-index-url=" + TORCH_CPU_INDEX]
        command += ["--output-file=requirements/" + target.name, "pyproject.toml"]
        say("locking requirements/" + target.name)
        if subprocess.call(command, cwd=ROOT, env=environment) != 0:
            return 1
        target.write_text(without_build_tags(target.read_text("utf-8")), "utf-8")
    return 0


def without_build_tags(requirements: str) -> str:
    """Drop local version tags ("2.13.0+cpu"), which no other index knows."""
    return re.sub(r"(?m)^(\S+==[^\s+]+)\+\S+", r"\1", requirements)


# --- the virtual environment ----------------------------------------------------------------------


def prepare(profile: str) -> None:
    """Bring .venv to the locked state of a profile; returns at once when it is there already."""
    # The test profile holds every other one.
    if any(is_current(name) for name in (profile, "test")):
        return
    if not has_working_pip():
        create_venv(find_python())
    stamp(profile).unlink(missing_ok=True)
    torch = locked_version("torch", profile)
    if has_own_index(pip_configuration()):
        say(f"installing torch {torch} from the index that pip is configured with")
        pip_install("torch==" + torch)
    elif sys.platform == "darwin":
        say(f"installing torch {torch}")
        pip_install("torch==" + torch)
    else:
        say(f"installing torch {torch}, CPU build")
        pip_install("--index-url", TORCH_CPU_INDEX, "torch==" + torch)
    say(f"installing requirements/{profile}.txt")
    pip_install("--requirement", str(REQUIREMENTS / (profile + ".txt")))
    say("installing affectsr")
    pip_install("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    stamp(profile).write_text(fingerprint(profile), "ascii")


def stamp(profile: str) -> Path:
    """Where .venv remembers what it was last brought to."""
    return VENV / f"affectsr-{profile}.stamp"


def is_current(profile: str) -> bool:
    """Whether .venv holds what the profile's lock file and pyproject.toml ask for."""
    path = stamp(profile)
    return path.is_file() and path.read_text("ascii") == fingerprint(profile)


def fingerprint(profile: str) -> str:
    """Hash of everything that decides what an installation consists of."""
    digest = hashlib.sha256(str(ROOT).encode())  # an editable install points at this folder
    for path in (ROOT / "pyproject.toml", REQUIREMENTS / (profile + ".txt")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def locked_version(package: str, profile: str) -> str:
    """The version that the profile's lock file pins a package to."""
    path = REQUIREMENTS / (profile + ".txt")
    match = re.search(rf"(?m)^{re.escape(package)}==([^\s;]+)", path.read_text("utf-8"))
    if match is None:
        fail(f"{path.relative_to(ROOT)} pins no {package}; run: python3 run.py lock")
    return match.group(1)


def find_python() -> str:
    """A Python that the locked packages are built for: this one, or one on the PATH."""
    if sys.version_info[:2] in SUPPORTED_PYTHONS:
        return sys.executable
    for major, minor in SUPPORTED_PYTHONS:
        candidate = shutil.which(f"python{major}.{minor}")
        if candidate and subprocess.call([candidate, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            return candidate
    fail(
        "AffectSR needs Python 3.11 or 3.12 (mediapipe and NumPy 1 have no newer builds); this is "
        "{}.{}, and no python3.12 or python3.11 is on the PATH. Install one and run: "
        "python3.12 run.py ...".format(*sys.version_info[:2])
    )


def create_venv(python: str) -> None:
    """Make .venv anew with its own pip."""
    if python == sys.executable and not (
        importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")
    ):
        fail(
            "this Python comes without the modules venv and ensurepip. On Debian and Ubuntu: "
            "apt-get install python{}.{}-venv".format(*sys.version_info[:2])
        )
    say("creating .venv")
    if subprocess.call([python, "-m", "venv", "--clear", str(VENV)]) != 0:
        fail(
            f"could not create .venv with {python}; its own message is above. On Debian and Ubuntu "
            "the package python3.11-venv (or python3.12-venv) may be missing"
        )


def has_working_pip() -> bool:
    """Whether .venv holds a supported Python that can run pip (it may be broken or half made)."""
    if not Path(executable("python")).exists():
        return False
    supported = "import sys, pip; sys.exit(sys.version_info[:2] not in {})"
    command = [executable("python"), "-c", supported.format(SUPPORTED_PYTHONS)]
    return subprocess.call(command, stderr=subprocess.DEVNULL) == 0


def pip_configuration() -> str:
    """What `pip config list` says: files and PIP_* variables together."""
    command = [executable("python"), "-m", "pip", "config", "list"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def has_own_index(configuration: str) -> bool:
    """Whether pip is told where to find packages; then that is where torch comes from, too."""
    keys = {line.partition("=")[0].rpartition(".")[2] for line in configuration.splitlines()}
    return not keys.isdisjoint({"index-url", "extra-index-url", "find-links", "no-index"})


def pip_install(*arguments: str) -> None:
    """Run pip in .venv; ends the program with a remedy when pip fails."""
    command = [executable("python"), "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--no-input"] if sys.stdout.isatty() else ["--no-input", "--quiet"]
    if subprocess.call([*command, *arguments], cwd=ROOT) != 0:
        fail("pip could not install; its message is above. Run the same command again to go on")


# --- small things ---------------------------------------------------------------------------------


def executable(name: str) -> str:
    """The path of a program in .venv."""
    return str(BIN / (name + ".exe" if os.name == "nt" else name))


def say(message: str) -> None:
    """Announce a step, in order with what the step itself prints."""
    print("==> " + message, flush=True)


def fail(message: str) -> NoReturn:
    """End with a message on stderr and status 1."""
    sys.exit(f"run.py: {message}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

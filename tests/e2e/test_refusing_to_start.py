"""The service refusing to start: one line that names what is wrong and what to do, and a status."""

import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ServerProcess
from tests.service.tiny_models import publish_tiny_models

pytestmark = pytest.mark.e2e

Serve = Callable[..., ServerProcess]


def client_at(address: tuple[str, int]) -> httpx.Client:
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=20)


def why_it_ended(server: ServerProcess) -> str:
    """The last line of a server that could not start."""
    assert server.wait() == 3, server.lines
    assert "Traceback" not in "".join(server.lines)
    message: str = [json.loads(line) for line in server.lines if '"error"' in line][-1]["message"]
    assert message.startswith("cannot start: ")
    return message


# --- damaged models ---


def break_checksum(version: Path) -> None:
    weights = version / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")


def forget_weights(version: Path) -> None:
    (version / "weights.safetensors").unlink()


def halve_manifest(version: Path) -> None:
    manifest = version / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:60])


@pytest.mark.parametrize(
    ("damage", "file", "remedy"),
    [
        (break_checksum, "weights.safetensors", "restore"),
        (forget_weights, "weights.safetensors", "restore"),
        (halve_manifest, "manifest.json", ""),
    ],
)
def test_damaged_model_is_a_line_that_names_file_and_remedy(
    damage: Callable[[Path], None], file: str, remedy: str, tmp_path: Path, serve: Serve
) -> None:
    publish_tiny_models(tmp_path)
    version = tmp_path / "affectsrnet-x4" / "1"
    damage(version)
    message = why_it_ended(serve(model_root=tmp_path))
    assert str(version / file) in message
    assert remedy in message


def test_missing_models_are_a_line_that_says_what_to_set(tmp_path: Path, serve: Serve) -> None:
    message = why_it_ended(serve(model_root=tmp_path / "nothing"))
    assert "set AFFECTSR_MODEL_ROOT to the folder that holds it" in message


def test_half_published_version_is_not_seen(tmp_path: Path, serve: Serve) -> None:
    publish_tiny_models(tmp_path)
    model = tmp_path / "affectsrnet-x4"
    shutil.copytree(model / "1", model / ".publishing-abc")
    (model / ".publishing-abc" / "manifest.json").unlink()
    server = serve(model_root=tmp_path)
    with client_at(server.wait_for_address()) as client:
        assert client.get("/v1/models/affectsrnet-x4").json()["version"] == "1"


# --- the folder of models ---


def without_rights_over_files() -> list[str]:
    """A command that takes from root what lets it read every file; nothing for other users."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv, of util-linux, where the tests run as root")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


@pytest.fixture
def models_with_mode(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Published models whose folder, and every one below it, has a mode."""
    root = tmp_path / "models"
    publish_tiny_models(root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]

    def with_mode(mode: int) -> Path:
        for folder in reversed(folders):
            folder.chmod(mode)
        return root

    yield with_mode
    for folder in folders:
        folder.chmod(0o755)


def test_models_that_may_not_be_read_are_a_line_that_says_so(
    models_with_mode: Callable[[int], Path], serve: Serve
) -> None:
    root = models_with_mode(0o000)
    message = why_it_ended(serve(model_root=root, confined_by=without_rights_over_files()))
    assert message.startswith(f"cannot start: {root}")
    assert " cannot be read (Permission denied); " in message
    assert "chmod -R a+rX" in message


def test_models_need_not_be_writable(models_with_mode: Callable[[int], Path], serve: Serve) -> None:
    root = models_with_mode(0o555)
    server = serve(model_root=root, confined_by=without_rights_over_files())
    with client_at(server.wait_for_address()) as client:
        assert client.get("/v1/models/affectsrnet-x4").json()["version"] == "1"


# --- what is around it ---


def test_wrong_settings_are_a_line_that_names_their_variables(
    started: list[ServerProcess],
) -> None:
    settings = {"log_format": "xml", "max_batch_size": "0"}
    server = ServerProcess(["service", "serve"], settings)
    started.append(server)
    assert server.wait() == 2
    assert server.lines == [
        "affectsr: error: wrong settings: "
        "AFFECTSR_MAX_BATCH_SIZE=0: Input should be greater than or equal to 1; "
        "AFFECTSR_LOG_FORMAT=xml: Input should be 'auto', 'json' or 'text'"
    ]


def test_redis_url_that_cannot_be_read_is_a_line_that_says_how_it_looks(serve: Serve) -> None:
    message = why_it_ended(serve(redis_url="redis://:secret@redis/first"))
    assert "AFFECTSR_REDIS_URL cannot be read (its database is 'first' and must be" in message
    assert "it must look like redis://HOST:6379/0" in message
    assert "secret" not in message


def test_redis_that_is_away_is_told_and_keeps_nobody_from_starting(serve: Serve) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = serve(redis_url=f"redis://:secret@127.0.0.1:{unused.getsockname()[1]}/0")
        message = server.wait_for_line("the Redis that AFFECTSR_REDIS_URL names")
        server.wait_for_address()
    assert "does not answer now" in message
    assert "secret" not in "".join(server.lines)


def test_port_that_is_taken_is_a_line_that_says_what_to_set(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve(port=port)
        message = why_it_ended(server)
    assert f"AFFECTSR_HTTP_HOST=127.0.0.1 with AFFECTSR_HTTP_PORT={port} is no address" in message
    assert any("address already in use" in line for line in server.lines)


@pytest.fixture
def group_of_200_mib() -> Iterator[list[str]]:
    """A command that puts what follows it into a control group, as a container's runtime does."""
    group = Path("/sys/fs/cgroup/memory") / f"affectsr-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(200 * 2**20), "ascii")
    except OSError as error:
        pytest.skip(f"needs the right to make a control group for memory: {error}")
    yield ["sh", "-c", f'echo $$ > {group}/tasks; exec "$0" "$@"']
    group.rmdir()


def test_models_that_do_not_fit_the_memory_are_a_line_and_no_kill(
    group_of_200_mib: list[str], serve: Serve
) -> None:
    # Python and torch alone take more than half of it, and OpenVINO converts.
    message = why_it_ended(serve(confined_by=group_of_200_mib, engine="openvino"))
    assert message.startswith("cannot start: the models do not fit the memory: ")
    assert "this process is killed at 200 MiB; give it more memory" in message


def test_batches_that_do_not_fit_the_memory_are_a_line_that_says_what_to_set(
    serve: Serve,
) -> None:
    # The networks are loaded within it; 256 faces at once take more than a GiB.
    server = serve(
        confined_by=["prlimit", f"--data={700 * 2**20}"],
        max_batch_size=256,
        max_batch_pixels=256 * 128**2,
        queue_capacity=512,
    )
    message = why_it_ended(server)
    assert re.search(r"a batch of \d+ images of [\w-]+@1 (would need|does not fit)", message)
    assert "lower AFFECTSR_MAX_BATCH_SIZE" in message

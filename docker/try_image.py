"""Start an unpacked image as a container engine would, and see that it does what it is for.

    unshare --mount --net python3 docker/try_image.py ROOT CONFIG FACE [SAVE]

ROOT is the folder of the image's files, CONFIG its configuration (`buildah inspect`), FACE a PNG of
a face; the upscaled one is written to SAVE. The image's own command runs as its own user with its
own environment, without privileges, on a read-only root with 16 MiB of /tmp, and without any
network but the loopback; its own health check is asked, a face upscaled, and its own stop signal
sent. Needs root and Debian's iproute2 and util-linux; standard library only.
`build_without_docker.sh` calls it.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 600
_END_SECONDS = 60
_TMP_SIZE = "16m"


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of how it is run."""

    user: str
    environment: dict[str, str]
    command: list[str]
    health_check: list[str]
    stop_signal: signal.Signals

    @classmethod
    def read(cls, path: Path) -> "ImageConfig":
        """Read what `buildah inspect` prints.

        Raises:
            ValueError: the image has no health check that is a command.
        """
        config = json.loads(path.read_text("utf-8"))["Docker"]["config"]
        kind, *health_check = config.get("Healthcheck", {}).get("Test", ["none"])
        if kind != "CMD":
            raise ValueError(f"the image's health check is of kind {kind}; it must be CMD [...]")
        return cls(
            user=config["User"],
            environment=dict(line.split("=", 1) for line in config["Env"]),
            command=[*config["Entrypoint"], *config["Cmd"]],
            health_check=health_check,
            stop_signal=signal.Signals[config["StopSignal"]],
        )


class Container:
    """The image's files, made read-only, and commands inside them."""

    def __init__(self, root: Path, config: ImageConfig) -> None:
        self._root = root
        self._config = config

    def confine(self) -> None:
        """Mount what a container has; this process's own namespaces end with it."""
        root = str(self._root)
        for arguments in (
            ["--make-rprivate", "/"],
            ["--bind", root, root],
            ["--types", "proc", "proc", f"{root}/proc"],
            [
                "--types",
                "tmpfs",
                "--options",
                f"size={_TMP_SIZE},mode=1777",
                "tmpfs",
                f"{root}/tmp",
            ],
            ["--bind", "/dev", f"{root}/dev"],
            ["--options", "remount,bind,ro", root],
        ):
            subprocess.run(["mount", *arguments], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        """Start a command as the image's user, with nothing of this process's environment."""
        environment = [f"{name}={value}" for name, value in self._config.environment.items()]
        return subprocess.Popen(
            [
                *("setpriv", "--no-new-privs"),
                *("chroot", f"--userspec={self._config.user}", str(self._root)),
                "/usr/bin/env",
                "--ignore-environment",
                *environment,
                *command,
            ]
        )

    def run(self, command: list[str]) -> int:
        """Run a command to its end; gives its status."""
        return self.start(command).wait(timeout=_END_SECONDS)


def main(arguments: list[str]) -> int:
    if len(arguments) not in (3, 4):
        sys.stderr.write(f"{__doc__}")
        return 2
    root, config_path, face = map(Path, arguments[:3])
    config = ImageConfig.read(config_path)
    container = Container(root, config)
    container.confine()
    base = f"http://127.0.0.1:{config.environment['AFFECTSR_HTTP_PORT']}"
    server = container.start(config.command)
    try:
        wait_until_ready(base, server)
        check(
            rights_of(server.pid) == (config.user, 0),
            f"it is ready, as {config.user} without privileges",
        )
        check(container.run(["/usr/bin/touch", "/opt/affectsr/x"]) != 0, "its root is read-only")
        check(container.run(config.health_check) == 0, "its health check succeeds")
        sr = upscale(base, face)
        if len(arguments) == 4:
            Path(arguments[3]).write_bytes(sr)
        server.send_signal(config.stop_signal)
        status = server.wait(timeout=_END_SECONDS)
        check(status == 0, f"{config.stop_signal.name} ends it with status {status}")
        check(container.run(config.health_check) == 1, "its health check fails now")
    finally:
        server.kill()
    return 0


def wait_until_ready(base: str, server: "subprocess.Popen[bytes]") -> None:
    ends_at = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(base + "/readyz", timeout=5).close()
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > ends_at:
                sys.exit(f"FAILED: it is not ready within {_START_SECONDS} s: {error}")
            time.sleep(0.5)


def rights_of(pid: int) -> tuple[str, int]:
    """A process's user and group, and the privileges that it has: none where it is 0."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    user, group = (fields[name].split()[1] for name in ("Uid", "Gid"))  # the effective ones
    return f"{user}:{group}", int(fields["CapEff"], 16)


def upscale(base: str, face: Path) -> bytes:
    request = urllib.request.Request(
        base + "/v1/upscale",
        face.read_bytes(),
        {"Content-Type": "image/png", "Accept": "image/png"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        body: bytes = reply.read()
        model, expression = (
            reply.headers[f"X-AffectSR-{name}"] for name in ("Model", "Expression")
        )
        say(f"{reply.status}, {model}, {expression}, a PNG of {len(body)} bytes")
        check(body.startswith(b"\x89PNG"), "the reply is a PNG")
    return body


def check(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"FAILED: {what}")
    say(what)


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

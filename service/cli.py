"""The `affectsr` command: serve | upscale | ecm | bench | export | models | settings | openapi.

Exit status: 0 done; 1 an image could not be upscaled, or a pair not be compared; 2 the command
line or the settings are wrong; 3 the models cannot be loaded or the server cannot start; 4 the
device was lost; 130 stopped by Ctrl-C.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence

from pydantic import ValidationError

from service.bench.command import add_bench_arguments
from service.commands import bench, ecm, export, models, serve, settings, upscale
from service.settings import Settings, describe_invalid_settings, unknown_environment_names
from service.terminal import EXIT_STOPPED, EXIT_USAGE, fail

_BENCH_ENGINE = "bench-engine"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:2] == ["bench", "engine"]:  # where `affectsr bench` has a URL
        arguments[:2] = [_BENCH_ENGINE]
    options = _parser().parse_args(arguments)
    overrides = {
        name: value
        for name in ("http_host", "http_port", "emotion_model")
        if (value := getattr(options, name, None)) is not None
    }
    try:
        wanted = Settings(**overrides)
    except ValidationError as error:
        return fail(f"wrong settings: {describe_invalid_settings(error)}", EXIT_USAGE)
    for name in unknown_environment_names():
        print(f"affectsr: warning: {name} is set and means nothing here", file=sys.stderr)
    # Pillow warns of bad EXIF by what stands in it; we take such images and log no bytes of them.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        return _run(wanted, options)
    except KeyboardInterrupt:  # before the command itself minds it: libraries take seconds to load
        return fail("stopped", EXIT_STOPPED)


def _run(wanted: Settings, options: argparse.Namespace) -> int:
    match options.command:
        case "serve":
            return serve.run(wanted)
        case "upscale":
            return upscale.run(wanted, options)
        case "ecm":
            return ecm.run(wanted, options)
        case "bench":
            return bench.run(options)
        case "bench-engine":
            return bench.run_engine(wanted, options)
        case "export":
            return export.run(wanted, options)
        case "models":
            return models.run(wanted)
        case "openapi":
            return settings.run_openapi(wanted)
        case _:
            return settings.run(wanted, as_markdown=options.markdown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="affectsr", description="Expression-preserving super-resolution of face crops."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, says: str, *, prog: str | None = None) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=says, prog=prog or f"affectsr {name}")

    serve.add_arguments(command("serve", "answer HTTP requests until told to stop"))
    upscale.add_arguments(command("upscale", "upscale image files, without a server"))
    ecm.add_arguments(command("ecm", "say how well expressions were kept in a folder"))
    add_bench_arguments(command("bench", "load a running service, or a stub, and tell how it went"))
    bench.add_engine_arguments(
        command(
            _BENCH_ENGINE,
            "`bench engine`: time the engine beside the bare network and the device's limits",
            prog="affectsr bench engine",
        )
    )
    export.add_arguments(command("export", "write a model as a file for other programs"))
    command("models", "list the published models")
    settings.add_arguments(command("settings", "show the settings as they are now"))
    command("openapi", "print the OpenAPI document of the HTTP interface")
    return parser

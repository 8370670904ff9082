"""`affectsr export`."""

import argparse
from pathlib import Path

from service.settings import Settings
from service.terminal import EXIT_NO_START, EXIT_USAGE, fail


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("form", choices=("onnx", "openvino", "torchscript"))
    parser.add_argument("model", metavar="NAME[@VERSION]", help="one that upscales")
    parser.add_argument("out", type=Path, metavar="OUT", help=".onnx, .xml or .pt")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Write a model as a file; returns the exit status."""
    from model_store.errors import ModelStoreError
    from service.engine_commands import export
    from service.errors import StartupError

    try:
        print(export(options.form, options.model, options.out, settings))
    except (OSError, ValueError) as error:
        return fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return fail(str(error), EXIT_NO_START)
    return 0

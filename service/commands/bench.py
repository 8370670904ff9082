"""`affectsr bench`: a service under load, or the engine by itself."""

import argparse
from pathlib import Path

from service.bench.command import bench
from service.settings import Settings
from service.terminal import EXIT_FAILED, EXIT_NO_START, EXIT_USAGE, fail


def run(options: argparse.Namespace) -> int:
    """Load a service, or a stub; returns the exit status."""
    try:
        report = bench(options)
    except (OSError, ValueError) as error:
        return fail(str(error), EXIT_USAGE)
    except RuntimeError as error:
        return fail(str(error), EXIT_NO_START)
    if "200" not in report.statuses:
        return fail("no request was answered with 200", EXIT_FAILED)
    return 0


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `affectsr bench engine`; `add_bench_arguments` has the others."""
    parser.add_argument(
        "--against",
        action="append",
        choices=("torch", "openvino", "cuda"),
        default=[],
        help="another engine to measure in turn with that of the settings; may be given again",
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="(1 2 4 8)"
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="medians are of (9)")
    parser.add_argument(
        "--faces",
        type=Path,
        metavar="FOLDER",
        help="also compare the engine with PyTorch in float32 on images of it",
    )
    parser.add_argument("--num-faces", type=int, default=100, metavar="N", help="of --faces (100)")
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE")


def run_engine(settings: Settings, options: argparse.Namespace) -> int:
    """Time the engine; returns the exit status."""
    from model_store.errors import ModelStoreError
    from service.engine_commands import EngineBench, bench_engine
    from service.errors import StartupError

    wanted = EngineBench(
        against=options.against,
        batch_sizes=options.batch_sizes,
        num_rounds=options.rounds,
        faces=options.faces,
        num_faces=options.num_faces,
        json_file=options.json_file,
    )
    try:
        is_accurate = bench_engine(wanted, settings)
    except (OSError, ValueError) as error:
        return fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return fail(str(error), EXIT_NO_START)
    return 0 if is_accurate else fail("the engine is not accurate enough", EXIT_FAILED)

"""The command ``prepare``: its options, and the two kinds of packs that it makes."""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from tqdm import tqdm

from training.errors import DataError

_FACE_SOURCES = ("folder", "celeba", "ffhq", "helen", "lfw", "utkface")
_EXPRESSION_SOURCES = ("rafdb", "expressions")

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_prepare(commands: Commands) -> None:
    """Add the command to those of ``python -m training``."""
    prepare = commands.add_parser("prepare", help="turn the faces of a data set into a face pack")
    prepare.add_argument("path", type=Path, metavar="FACES", help="the set's folder, or a zip file")
    prepare.add_argument("pack", type=Path, help="face pack to write; must not exist")
    prepare.add_argument(
        "--source",
        default="folder",
        choices=(*_FACE_SOURCES, *_EXPRESSION_SOURCES),
        help="which data set it is; folder is any (default), expressions is any with labels",
    )
    prepare.add_argument(
        "--align",
        action="store_true",
        help="find and align the face in whole pictures; without it they must be square crops",
    )
    prepare.add_argument("--group-pattern", help="regular expression naming the person in a stem")
    prepare.add_argument(
        "--validation-permille", type=int, help="default 30; of each expression's faces 80"
    )
    prepare.add_argument(
        "--labels", type=Path, metavar="CSV", help="labels of expressions: columns image, emotion"
    )
    prepare.add_argument(
        "--slice",
        choices=("train", "test"),
        help="put all faces of a set of expressions there, if it has no slices of its own",
    )
    prepare.add_argument(
        "--only",
        nargs="+",
        choices=("train", "validation", "test"),
        help="keep only these slices",
    )
    prepare.add_argument(
        "--against",
        nargs="+",
        type=Path,
        default=[],
        metavar="PACK",
        help="folders of packs to compare with for duplicates, such as the test sets",
    )
    prepare.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    prepare.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    is_of_expressions = options.source in _EXPRESSION_SOURCES
    _refuse_options(options, of_expressions=is_of_expressions)
    if options.source != "rafdb" and importlib.util.find_spec("mediapipe") is None:
        raise DataError("prepare needs MediaPipe; install it: python3 run.py setup training")
    with tqdm(unit="face") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done == total:
                bar.set_postfix_str("finishing")

        make = _prepare_expressions if is_of_expressions else _prepare_faces
        text = make(options, progress)
    print(text)
    print(f"everything is listed in {options.pack / 'pack.json'}")
    return 0


def _refuse_options(options: argparse.Namespace, *, of_expressions: bool) -> None:
    """An option that would be passed over is an error."""
    of_faces = ("align", "group_pattern", "only", "against")
    unused = of_faces if of_expressions else ("labels", "slice")
    given = [f"--{name.replace('_', '-')}" for name in unused if getattr(options, name)]
    if of_expressions and options.workers != 1:
        given.append("--workers")
    if given:
        raise DataError(f"{', '.join(given)} means nothing with --source {options.source}")


def _prepare_faces(options: argparse.Namespace, progress: Callable[[int, int], None]) -> str:
    from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
    from training.data.face_maker import FramingOptions
    from training.data.prepare import PrepareOptions, prepare_pack
    from training.data.sources.open_source import open_source

    permille = options.validation_permille
    report = prepare_pack(
        open_source(options.path, kind=options.source, group_pattern=options.group_pattern),
        options.pack,
        open_teacher=MediaPipeMesh,
        options=PrepareOptions(
            framing=FramingOptions(
                align=options.align, validation_permille=30 if permille is None else permille
            ),
            only=tuple(options.only) if options.only else None,
            against=tuple(options.against),
            num_workers=options.workers,
        ),
        progress=progress,
    )
    return report.to_text()


def _prepare_expressions(options: argparse.Namespace, progress: Callable[[int, int], None]) -> str:
    from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
    from model_store.store import ModelStore
    from training.data.expressions.prepare import SliceOptions, prepare_expressions
    from training.data.expressions.sources import open_expression_source
    from training.tasks.build import load_landmarker

    permille = options.validation_permille
    report = prepare_expressions(
        open_expression_source(options.path, kind=options.source, labels=options.labels),
        options.pack,
        open_teacher=MediaPipeMesh,
        landmarker=load_landmarker("landmarker", ModelStore()),
        slices=SliceOptions(
            validation_permille=80 if permille is None else permille, whole=options.slice
        ),
        progress=progress,
    )
    return report.to_text()

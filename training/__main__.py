"""The command line of training: prepare, train, evaluate, publish."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from training.errors import TrainingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one training command and return its exit code."""
    options = _parser().parse_args(arguments)
    # Before torch is imported. OpenMP's default is to spin at every barrier: measured on 2 cores
    # beside one busy process, spinning made a convolution's backward pass 10 to 40 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        return int(options.run(options))
    except TrainingError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    prepare = commands.add_parser("prepare", help="turn a folder of face crops into a face pack")
    prepare.add_argument("source", type=Path, help="folder of square face crops")
    prepare.add_argument("pack", type=Path, help="face pack to write; must not exist")
    prepare.add_argument("--group-pattern", help="regular expression naming the person in a stem")
    prepare.add_argument("--validation-permille", type=int, default=30)
    prepare.set_defaults(run=_prepare)
    train = commands.add_parser("train", help="train what a configuration describes")
    train.add_argument("config", type=Path, help="TOML file; training/configs has the published")
    train.add_argument("--packs", type=Path, default=Path("packs"), help="folder of face packs")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run folders")
    train.add_argument("--name", help="name of the run, if not the configuration's")
    train.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--init", help="start from NAME@VERSION or from a .safetensors file")
    train.add_argument("--max-minutes", type=float, help="stop with a checkpoint after so long")
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    train.set_defaults(run=_train)
    evaluate = commands.add_parser("evaluate", help="measure a published model or a run's best")
    evaluate.add_argument("model", help="NAME, NAME@VERSION, or a run's folder")
    evaluate.add_argument("--json", type=Path, help="also write the report there")
    publish = commands.add_parser("publish", help="make a run's best weights a model version")
    publish.add_argument("folder", type=Path, help="the run's folder")
    publish.add_argument("--name", help="model name, if not the run's")
    publish.add_argument("--store", type=Path, help="store to publish to, if not the package's")
    for command in (evaluate, publish):
        command.add_argument("--packs", type=Path, default=Path("packs"))
        command.add_argument("--test", nargs="+", required=True, metavar="PACK")
    evaluate.set_defaults(run=_evaluate)
    publish.set_defaults(run=_publish)
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    from model_store.store import ModelStore
    from training.evaluation import write_report
    from training.publish import evaluate_model

    report = evaluate_model(
        options.model, packs_root=options.packs, test_packs=options.test, store=ModelStore()
    )
    print(report.to_text())
    if options.json is not None:
        write_report(options.json, report)
    return 0


def _publish(options: argparse.Namespace) -> int:
    from model_store.store import DEFAULT_ROOT, ModelStore
    from training.publish import publish_run

    manifest, report = publish_run(
        options.folder,
        name=options.name,
        packs_root=options.packs,
        test_packs=options.test,
        store=ModelStore(options.store or DEFAULT_ROOT),
    )
    print(report.to_text())
    print(f"published {manifest.reference}")
    return 0


def _train(options: argparse.Namespace) -> int:
    from model_store.store import ModelStore
    from training.train import TrainOptions, train

    train(
        TrainOptions(
            config=options.config,
            packs=options.packs,
            runs=options.runs,
            name=options.name,
            overrides=tuple(options.set),
            resume=options.resume,
            init=options.init,
            max_minutes=options.max_minutes,
            device=options.device,
        ),
        store=ModelStore(),
        notify=print,
    )
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
    from training.data.prepare import PrepareOptions, prepare_pack

    def progress(files: list[Path]) -> Iterator[Path]:
        return iter(tqdm(files, unit="face"))

    with MediaPipeMesh() as teacher:
        report = prepare_pack(
            options.source,
            options.pack,
            teacher=teacher,
            options=PrepareOptions(
                group_pattern=options.group_pattern,
                validation_permille=options.validation_permille,
            ),
            progress=progress,
        )
    print(
        f"{report.faces} faces ({report.validation_faces} for validation), "
        f"{len(report.skipped)} files skipped"
    )
    for item in report.skipped[:20]:
        print(f"  skipped {item.file}: {item.reason}")
    if len(report.skipped) > 20:
        print(f"  ... all of them are listed in {options.pack / 'pack.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

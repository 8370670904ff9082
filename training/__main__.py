"""The command line of training: prepare, train, blend, evaluate, publish."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from training.errors import TrainingError
from training.memory import keep_freed_memory
from training.prepare_command import Commands, add_prepare


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one training command and return its exit code."""
    options = _parser().parse_args(arguments)
    # Before torch is imported. OpenMP's default is to spin at every barrier: measured on 2 cores
    # beside one busy process, spinning made a convolution's backward pass 10 to 40 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    try:
        return int(options.run(options))
    except TrainingError as error:
        print(f"training: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_prepare(commands)
    train = commands.add_parser("train", help="train what a configuration describes")
    train.add_argument("config", type=Path, help="TOML file; training/configs has the published")
    train.add_argument("--packs", type=Path, default=Path("packs"), help="folder of face packs")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run folders")
    train.add_argument("--name", help="name of the run, if not the configuration's")
    train.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--init", help="NAME@VERSION or a file of weights; :backbone for part of it")
    train.add_argument("--max-minutes", type=float, help="stop with a checkpoint after so long")
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    train.set_defaults(run=_train)
    blend = commands.add_parser("blend", help="go back part of the way to a run's warm start")
    blend.add_argument("folder", type=Path, help="the run's folder")
    blend.add_argument("target", type=Path, help="folder for the blended weights")
    blend.add_argument("--start", help="what the run started from, if it was a file")
    blend.add_argument("--shares", type=float, nargs="+", help="parts of the way to try")
    blend.add_argument(
        "--max-psnr-cost", type=float, metavar="DB", help="leave out shares that cost more PSNR"
    )
    blend.add_argument("--min-sharpness", type=float, help="of validation faces, if not the run's")
    blend.add_argument("--packs", type=Path, default=Path("packs"), help="folder of face packs")
    blend.set_defaults(run=_blend)
    evaluate = commands.add_parser("evaluate", help="measure models on the same test faces")
    evaluate.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="NAME, NAME@VERSION, a run's folder, bicubic, or folder:PATH of 128 px images",
    )
    evaluate.add_argument("--scale", type=int, choices=(4, 8), help="of bicubic and folders")
    evaluate.add_argument(
        "--landmarks",
        nargs="+",
        default=["lr"],
        choices=("lr", "none", "mean", "shuffled", "teacher"),
        help="what fused networks are given; teacher is leakage, an upper bound",
    )
    evaluate.add_argument("--against", metavar="MODEL", help="differences are to it, not the first")
    evaluate.add_argument("--max-faces", type=int, help="at most so many faces of each pack")
    evaluate.add_argument(
        "--degradation",
        type=Path,
        metavar="CONFIG",
        help="training configuration by whose [degradation] the faces are damaged",
    )
    evaluate.add_argument("--json", type=Path, help="also write every number there")
    evaluate.add_argument("--html", type=Path, help="also write a page with tables and faces there")
    report = commands.add_parser("report", help="train and measure a study: the paper's tables")
    report.add_argument("study", type=Path, help="TOML file; training/studies has the paper's")
    report.add_argument("--train", action="store_true", help="first train what is missing")
    report.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run folders")
    report.add_argument("--packs", type=Path, default=Path("packs"), help="folder of face packs")
    report.add_argument("--out", type=Path, help="folder of the report, if not RUNS/STUDY")
    report.add_argument("--max-faces", type=int, help="of each test pack, if not the study's")
    report.add_argument("--feature-weights", type=Path, metavar="FOLDER", help="weights of LPIPS")
    report.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    report.set_defaults(run=_report)
    _add_calibrate(commands)
    _add_detection(commands)
    publish = commands.add_parser("publish", help="make a run's best weights a model version")
    publish.add_argument("folder", type=Path, help="the run's folder")
    publish.add_argument("--name", help="model name, if not the run's")
    ensemble = _add_ensemble(commands)
    for command in (publish, ensemble):
        command.add_argument(
            "--allow-worse",
            metavar="REASON",
            help="publish even a worse version; the manifest keeps why",
        )
        command.add_argument("--store", type=Path, help="store to publish to, if not the package's")
    for command in (evaluate, publish, ensemble):
        command.add_argument("--packs", type=Path, default=Path("packs"))
        command.add_argument("--test", nargs="+", required=True, metavar="PACK")
    for command in (train, blend, evaluate, publish):
        command.add_argument(
            "--feature-weights",
            type=Path,
            metavar="FOLDER",
            help="weights of LPIPS and VGG16, if not in $AFFECTSR_FEATURE_WEIGHTS",
        )
    for command in (evaluate, report, publish):
        command.add_argument(
            "--classifier",
            metavar="NAME[@VERSION]",
            help="who reads expressions for ECM, if not the published one",
        )
    evaluate.set_defaults(run=_evaluate)
    publish.set_defaults(run=_publish)
    return parser


def _add_calibrate(commands: Commands) -> None:
    calibrate = commands.add_parser(
        "calibrate-agreement", help="fit and publish how likely an expression was kept"
    )
    calibrate.add_argument("upscaler", metavar="NAME[@VERSION]", help="published network")
    calibrate.add_argument(
        "--fit", nargs="+", required=True, metavar="PACK", help="their validation slices are fitted"
    )
    calibrate.add_argument(
        "--test", nargs="+", required=True, metavar="PACK", help="checked on; nothing learnt from"
    )
    calibrate.add_argument("--packs", type=Path, default=Path("packs"), help="folder of packs")
    calibrate.add_argument("--classifier", metavar="NAME[@VERSION]", help="who reads expressions")
    calibrate.add_argument("--name", help="of the calibration, if not the network's")
    calibrate.add_argument("--store", type=Path, help="store to publish to, if not the package's")
    calibrate.add_argument(
        "--allow-worse", metavar="REASON", help="publish even a poor fit; the manifest keeps why"
    )
    calibrate.set_defaults(run=_calibrate)


def _add_detection(commands: Commands) -> None:
    detection = commands.add_parser(
        "detection", help="measure how small faces may be to be found; publish the detector"
    )
    detection.add_argument("--photos", type=Path, required=True, help="folder of photos with faces")
    detection.add_argument(
        "--test", nargs="+", required=True, metavar="PACK", help="faces to paste into pictures"
    )
    detection.add_argument("--faces", type=int, default=100, help="of each pack")
    detection.add_argument("--packs", type=Path, default=Path("packs"), help="folder of packs")
    detection.add_argument(
        "--tflite", type=Path, help="MediaPipe's full-range file, if not the published version"
    )
    detection.add_argument("--publish", action="store_true", help="make the file a version")
    detection.add_argument("--store", type=Path, help="store to publish to, if not the package's")
    detection.set_defaults(run=_detection)


def _evaluate(options: argparse.Namespace) -> int:
    from model_store.store import ModelStore
    from training.evaluate import EvaluateOptions, evaluate, write_reports
    from training.evaluation.report.confusion import confusions_text
    from training.evaluation.report.expressions import expressions_text
    from training.evaluation.report.reliability import agreement_text
    from training.evaluation.report.text import comparison_text

    evaluation = evaluate(
        EvaluateOptions(
            models=tuple(options.models),
            packs=options.packs,
            tests=tuple(options.test),
            scale=options.scale,
            controls=tuple(options.landmarks),
            max_faces=options.max_faces,
            feature_weights=options.feature_weights,
            classifier=options.classifier,
            against=options.against,
            degradation=options.degradation,
        ),
        store=ModelStore(),
        notify=_notify,
    )
    print(comparison_text(evaluation.comparison))
    for text in (
        expressions_text(evaluation.comparison),
        agreement_text(evaluation.checks),
        confusions_text(evaluation.comparison),
    ):
        if text:
            print(f"\n{text}")
    makes_images = bool(evaluation.comparison.scales)
    write_reports(
        evaluation,
        title="Face super-resolution, measured" if makes_images else "Readers of faces, measured",
        json_path=options.json,
        html_path=options.html,
    )
    return 0


def _report(options: argparse.Namespace) -> int:
    from model_store.store import ModelStore
    from training.study.report import ReportOptions, report_study

    text = report_study(
        ReportOptions(
            study=options.study,
            packs=options.packs,
            runs=options.runs,
            out=options.out,
            is_training=options.train,
            max_faces=options.max_faces,
            feature_weights=options.feature_weights,
            classifier=options.classifier,
            device=options.device,
        ),
        store=ModelStore(),
        notify=_notify,
    )
    print(text)
    return 0


def _publish(options: argparse.Namespace) -> int:
    from model_store.store import DEFAULT_ROOT, ModelStore
    from training.evaluation.report.text import comparison_text
    from training.publish import PublishOptions, publish_run

    manifest = publish_run(
        PublishOptions(
            run=options.folder,
            packs=options.packs,
            tests=tuple(options.test),
            name=options.name,
            feature_weights=options.feature_weights,
            classifier=options.classifier,
            allow_worse=options.allow_worse,
        ),
        store=ModelStore(options.store or DEFAULT_ROOT),
        show=lambda comparison: print(comparison_text(comparison)),
    )
    print(f"published {manifest.reference}")
    return 0


def _add_ensemble(commands: Commands) -> argparse.ArgumentParser:
    ensemble = commands.add_parser(
        "ensemble", help="publish the mean of expression classifiers as one"
    )
    ensemble.add_argument("name", help="name of the ensemble")
    ensemble.add_argument(
        "members",
        nargs="+",
        metavar="NAME[@VERSION]",
        help="published classifiers: two or more, or one with --mirrored",
    )
    ensemble.add_argument(
        "--mirrored",
        action="store_true",
        help="let each read the face's mirror image as well, for twice the time",
    )
    ensemble.set_defaults(run=_ensemble)
    return ensemble


def _ensemble(options: argparse.Namespace) -> int:
    from model_store.store import DEFAULT_ROOT, ModelStore
    from training.evaluation.report.text import comparison_text
    from training.publish import EnsembleOptions, publish_ensemble

    manifest = publish_ensemble(
        EnsembleOptions(
            name=options.name,
            members=tuple(options.members),
            mirrored=options.mirrored,
            packs=options.packs,
            tests=tuple(options.test),
            allow_worse=options.allow_worse,
        ),
        store=ModelStore(options.store or DEFAULT_ROOT),
        show=lambda comparison: print(comparison_text(comparison)),
    )
    print(f"published {manifest.reference}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from model_store.store import DEFAULT_ROOT, ModelStore
    from training.agreement import AgreementOptions, calibrate_agreement
    from training.evaluation.report.reliability import agreement_text

    manifest = calibrate_agreement(
        AgreementOptions(
            upscaler=options.upscaler,
            packs=options.packs,
            fit=tuple(options.fit),
            tests=tuple(options.test),
            classifier=options.classifier,
            name=options.name,
            allow_worse=options.allow_worse,
        ),
        store=ModelStore(),
        target=ModelStore(options.store or DEFAULT_ROOT),
        notify=_notify,
        show=lambda checks: print(agreement_text(checks)),
    )
    print(f"published {manifest.reference}")
    return 0


def _detection(options: argparse.Namespace) -> int:
    from model_store.store import DEFAULT_ROOT, ModelStore
    from training.detection import DetectionOptions, measure_detector

    manifest = measure_detector(
        DetectionOptions(
            photos=options.photos,
            packs=options.packs,
            tests=tuple(options.test),
            faces=options.faces,
            tflite=options.tflite,
            publish=options.publish,
        ),
        store=ModelStore(),
        target=ModelStore(options.store or DEFAULT_ROOT),
        show=print,
    )
    if manifest is not None:
        print(f"published {manifest.reference}")
    return 0


def _notify(line: str) -> None:
    print(line, file=sys.stderr)


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
            feature_weights=options.feature_weights,
        ),
        store=ModelStore(),
        notify=print,
    )
    return 0


def _blend(options: argparse.Namespace) -> int:
    from model_store.store import ModelStore
    from training.blend import DEFAULT_SHARES, blend_with_start

    share = blend_with_start(
        options.folder,
        options.target,
        start=options.start,
        shares=options.shares or DEFAULT_SHARES,
        min_sharpness=options.min_sharpness,
        max_psnr_cost_db=options.max_psnr_cost,
        packs_root=options.packs,
        store=ModelStore(),
        notify=print,
        feature_weights=options.feature_weights,
    )
    print(f"kept {share:.3f} of the way in {options.target}")
    return 0


def _end_process(status: int) -> None:
    """Exit; of several processes that torchrun started, without the interpreter's clean-up.

    By then all is written and the processes have parted. What is left is the end of libraries'
    threads, and one of theirs once aborted a process there, which made a failure of a finished
    training.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    _end_process(main())

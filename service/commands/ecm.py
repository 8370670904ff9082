"""`affectsr ecm`: what it compares, what it prints, and the exit status."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings
from service.terminal import EXIT_FAILED, EXIT_NO_START, EXIT_USAGE, fail, print_table

if TYPE_CHECKING:  # it imports torch
    from service.ecm_files import FolderComparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("originals", type=Path, metavar="ORIGINAL_DIR")
    parser.add_argument(
        "super_resolved", type=Path, metavar="SR_DIR", help="results, named as their originals"
    )
    parser.add_argument(
        "--classifier", dest="emotion_model", metavar="NAME[@VERSION]", help="who reads expressions"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a line for each pair")
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="pairs to show (10)")


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Compare two folders; returns the exit status."""
    from model_store.errors import ModelStoreError
    from service.ecm_files import compare_folders, plan_pairs
    from service.errors import NoClassifierError, StartupError

    if options.csv is not None and (options.csv.is_dir() or not options.csv.parent.is_dir()):
        return fail(f"{options.csv} is no file to write; name one in a folder", EXIT_USAGE)
    try:
        plan = plan_pairs(options.originals, options.super_resolved)
    except (OSError, ValueError) as error:
        return fail(str(error), EXIT_USAGE)
    try:
        found = asyncio.run(compare_folders(plan, settings))
    except NoClassifierError as error:
        return fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return fail(str(error), EXIT_NO_START)
    return _show_comparison(found, csv=options.csv, num_worst=options.worst)


def _show_comparison(found: "FolderComparison", *, csv: Path | None, num_worst: int) -> int:
    from service.ecm_report import expression_rows, metric_lines, worst_rows, write_csv

    for line in metric_lines(found):
        print(line)
    if found.comparison is not None:
        for rows in (expression_rows(found.comparison), worst_rows(found, count=num_worst)):
            print()
            print_table(rows)
    for left in found.left_out:
        print(f"affectsr: left out: {left.name}: {left.reason}", file=sys.stderr)
    if csv is not None:
        try:
            write_csv(csv, found)
        except OSError as error:
            return fail(f"{csv} cannot be written: {error}", EXIT_FAILED)
    if found.left_out:
        total = len(found.names) + len(found.left_out)
        return fail(f"{len(found.left_out)} of {total} names were left out", EXIT_FAILED)
    return 0

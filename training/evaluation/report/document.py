"""A comparison as JSON: every number, every difference, and the faces' values behind them."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from model_store.emotion.classifier import EMOTIONS
from training.evaluation.comparison import Comparison, Difference, ModelResult
from training.evaluation.measures.measure import Column
from training.evaluation.report.confusion import confusion_tables
from training.quality import PROTOCOLS, Estimate, Values

REPORT_FORMAT = 1

Json = Mapping[str, "Json"] | list["Json"] | str | int | float | bool | None


def write_document(path: Path, comparison: Comparison) -> None:
    """Write a comparison as JSON.

    Numbers that JSON lacks are strings ("inf" for the PSNR of equal images); null stands for a
    face that could not be measured.
    """
    text = json.dumps(report_document(comparison), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def report_document(comparison: Comparison) -> dict[str, Json]:
    """Return a comparison as values that JSON knows."""
    return {
        "format": REPORT_FORMAT,
        "lr_images": comparison.lr_images,
        "protocols": {protocol.name: protocol.description for protocol in PROTOCOLS},
        "interval": "95 %, bootstrap over faces, 2,000 draws, seeded; ECM's moved back by what "
        "drawing adds",
        "columns": [_column(column) for column in comparison.columns],
        "sets": [
            {"name": name, "faces": count, "pack_digest": comparison.digests[name]}
            for name, count in comparison.num_faces.items()
        ],
        "models": [_model(result) for result in comparison.results],
        "differences": [_difference(difference) for difference in comparison.differences],
        "confusions": [
            {
                "model": table.title,
                "set": table.set_name,
                "expressions": list(EMOTIONS),
                "counts": table.counts.tolist(),
            }
            for table in confusion_tables(comparison)
        ],
        "notes": list(comparison.notes),
    }


def _column(column: Column) -> Json:
    return {
        "name": column.name,
        "title": column.title,
        "basis": column.basis,
        "higher_is_better": column.higher_is_better,
    }


def _model(result: ModelResult) -> Json:
    described = result.description
    return {
        "title": result.title,
        "name": described.name,
        "scale": described.scale,
        "architecture": described.architecture,
        "parameters": described.num_parameters,
        "origin": described.origin,
        "landmarks": described.control,
        "sets": {
            name: {
                "estimates": _estimates(result.estimates[name]),
                "faces": {column: _values(values) for column, values in of_set.items()},
            }
            for name, of_set in result.values.items()
        },
        "mean_over_sets": _estimates(result.means),
    }


def _difference(difference: Difference) -> Json:
    return {
        "model": difference.title,
        "minus": difference.reference,
        "scale": difference.scale,
        "sets": {name: _estimates(of_set) for name, of_set in difference.estimates.items()},
        "mean_over_sets": _estimates(difference.means),
    }


def _estimates(estimates: Mapping[str, Estimate]) -> Json:
    return {
        name: {
            "mean": _number(estimate.mean),
            "low": _number(estimate.low),
            "high": _number(estimate.high),
            "n": estimate.n,
        }
        for name, estimate in estimates.items()
    }


def _values(values: Values) -> Json:
    return [
        [_number(value) for value in row] if isinstance(row, list) else _number(row)
        for row in values.tolist()
    ]


def _number(value: float) -> Json:
    if math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else str(value)

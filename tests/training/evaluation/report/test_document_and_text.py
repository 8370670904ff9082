import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.sets import make_face_set
from training.evaluation.comparison import Comparison, compare_results, result_of
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column
from training.evaluation.models import ModelDescription
from training.evaluation.report.document import report_document, write_document
from training.evaluation.report.text import comparison_text

PSNR = Column("psnr_db", "PSNR, dB", "sfmnet", higher_is_better=True, decimals=3)
NME = Column("nme", "NME", "by a finder", higher_is_better=False, decimals=4)


@pytest.fixture
def compared() -> Comparison:
    sets: list[FaceSet] = [make_face_set("one", faces=2), make_face_set("other", faces=2)]
    nan, inf = float("nan"), float("inf")
    values = {
        "bicubic": {
            "one": {"psnr_db": [20.0, 24.0], "nme": [0.1, nan]},
            "other": {"psnr_db": [30.0, 30.0], "nme": [nan, nan]},
        },
        "ours": {
            "one": {"psnr_db": [21.0, 25.0], "nme": [0.05, 0.07]},
            "other": {"psnr_db": [inf, 31.0], "nme": [0.01, 0.01]},
        },
    }
    results = [
        result_of(
            ModelDescription(
                name=name,
                scale=8,
                architecture=name,
                origin="2 steps, 8 faces seen, from nothing" if name == "ours" else "",
                num_parameters=5_990_000 if name == "ours" else 0,
            ),
            {s: {c: np.array(v) for c, v in of_set.items()} for s, of_set in by_set.items()},
            [PSNR, NME],
        )
        for name, by_set in values.items()
    ]
    return compare_results(results, sets, columns=[PSNR, NME], notes=["Beware."])


def test_the_document_holds_every_number_and_the_faces_behind_it(
    compared: Comparison, tmp_path: Path
) -> None:
    write_document(tmp_path / "report.json", compared)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["format"] == 1
    assert set(document["protocols"]) == {"sfmnet", "sparnet"}
    assert document["sets"][0] == {"name": "one", "faces": 2, "pack_digest": "digest of one"}
    bicubic, ours = document["models"]
    assert bicubic["sets"]["one"]["estimates"]["psnr_db"] == {
        "mean": 22.0,
        "low": 20.0,
        "high": 24.0,
        "n": 2,
    }
    assert bicubic["sets"]["one"]["faces"]["nme"] == [0.1, None]
    assert bicubic["sets"]["one"]["estimates"]["nme"]["n"] == 1
    assert "nme" not in bicubic["sets"]["other"]["estimates"]
    assert ours["sets"]["other"]["faces"]["psnr_db"] == ["inf", 31.0]
    assert ours["sets"]["other"]["estimates"]["psnr_db"]["mean"] == "inf"
    assert ours["origin"] == "2 steps, 8 faces seen, from nothing"
    (difference,) = document["differences"]
    assert (difference["model"], difference["minus"]) == ("ours", "bicubic")
    assert difference["sets"]["one"]["psnr_db"]["mean"] == 1.0
    assert difference["sets"]["one"]["nme"] == {"mean": -0.05, "low": -0.05, "high": -0.05, "n": 1}
    assert document["notes"][0] == "Beware."


def test_the_document_is_strict_json(compared: Comparison) -> None:
    json.dumps(report_document(compared), allow_nan=False)


def test_the_text_names_protocols_intervals_counts_and_differences(compared: Comparison) -> None:
    text = comparison_text(compared)
    assert (
        "Measured on one (2 faces), other (2 faces); LR images: Pillow's bicubic in 8 bits." in text
    )
    assert "Protocol sfmnet: Y of 8-bit images, 8 px border left out" in text
    assert "Protocol sparnet: Y of 8-bit images, whole image" in text
    assert "x8 ours (5.99 M parameters; 2 steps, 8 faces seen, from nothing)" in text
    rows = [line.split() for line in text.splitlines()]
    assert "psnr_db 22.000 [20.000, 24.000] 30.000 [30.000, 30.000]" in [
        " ".join(row[:7]) for row in rows
    ]
    assert ["nme", "0.1000", "[0.1000,", "0.1000]", "n=1", "-", "-"] in rows
    assert "x8 ours minus bicubic" in text
    assert any(row[:4] == ["psnr_db", "+1.000", "[+1.000,", "+1.000]"] for row in rows)
    assert text.endswith("(by a finder): bicubic x8: 1 of 2 of one, 2 of 2 of other.")
    assert "Note: Beware." in text

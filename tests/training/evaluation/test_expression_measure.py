"""What is measured of expressions, and the tables that are made of it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from model_store.emotion.ecm import bootstrap_interval, emotion_consistency, pair_measures
from model_store.image_tensor import RgbImage
from tests.training.evaluation.readers import PaintedReader, paint, paint_faces
from tests.training.evaluation.sets import make_face_set
from training.evaluation.comparison import Comparison, compare_results, result_of
from training.evaluation.faces import FaceSet
from training.evaluation.measures.expression import ExpressionConsistency, read_pairs
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.models import ModelDescription
from training.evaluation.report.expressions import expression_tables, expressions_text
from training.evaluation.report.page import PageHead, report_page
from training.evaluation.report.paper_text import paper_tables_text
from training.quality import SFMNET

HAPPY = [1, 50, 1, 1, 1, 1, 1]
SAD = [1, 1, 50, 1, 1, 1, 1]
UNSURE = [1, 40, 30, 1, 1, 1, 1]
TORN = [1, 1, 50, 30, 1, 1, 1]


def painted_set(originals: list[RgbImage], name: str = "celeba") -> FaceSet:
    faces = make_face_set(name, faces=len(originals))
    return replace(faces, originals=tuple(originals))


def measure() -> ExpressionConsistency:
    return ExpressionConsistency(PaintedReader(), classifier="emotion-painted@1 (0123abcd)")


def test_every_column_is_that_of_the_metric_on_what_was_read() -> None:
    faces = painted_set(paint_faces(40, seed=0))
    images = paint_faces(40, seed=1)
    expression = measure()
    values = expression.measure(images, faces)
    assert [c.name for c in expression.columns] == list(values)
    assert {c.basis for c in expression.columns} == {"read by emotion-painted@1 (0123abcd)"}
    sides = read_pairs(values["ecm"])
    assert values["entropy_difference"].tolist() == (
        pair_measures(*sides).entropy_difference.tolist()
    )
    assert values["expression_agreement"].mean() == pair_measures(*sides).top1_agrees.mean()
    column = expression.columns[0]
    estimate, expected = column.estimate([values["ecm"]]), bootstrap_interval(*sides)
    assert estimate is not None
    assert expected is not None
    assert estimate.mean == emotion_consistency(*sides).ecm
    assert (estimate.low, estimate.high, estimate.n) == (expected.low, expected.high, 40)


def test_a_difference_of_two_models_is_paired_on_common_draws() -> None:
    faces = painted_set(paint_faces(60, seed=0))
    expression = measure()
    column = expression.columns[0]
    ours = expression.measure(paint_faces(60, seed=1), faces)["ecm"]
    nearly = ours.copy()
    nearly[:6] = expression.measure(paint_faces(60, seed=2), faces)["ecm"][:6]
    alone, apart = column.estimate([ours]), column.difference([(nearly, ours)])
    assert alone is not None
    assert apart is not None
    means = [emotion_consistency(*read_pairs(v)).ecm for v in (nearly, ours)]
    assert None not in means
    assert apart.mean == pytest.approx((means[0] or 0) - (means[1] or 0))
    assert apart.high - apart.low < 0.7 * (alone.high - alone.low)
    nothing = column.difference([(ours, ours)])
    assert nothing is not None
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)


def test_a_model_that_keeps_every_pixel_has_no_metric_and_full_agreement() -> None:
    faces = painted_set(paint_faces(5, seed=0))
    expression = measure()
    values = expression.measure(faces.originals, faces)
    assert expression.columns[0].estimate([values["ecm"]]) is None
    assert values["expression_agreement"].tolist() == [1.0] * 5


def test_originals_are_read_once_for_all_models() -> None:
    faces = painted_set(paint_faces(5, seed=0))
    reader = PaintedReader()
    expression = ExpressionConsistency(reader, classifier="painted")
    for seed in (1, 2, 3):
        expression.measure(paint_faces(5, seed=seed), faces)
    assert reader.num_read == 4 * 5
    expression.measure(paint_faces(5, seed=1), painted_set(paint_faces(5, seed=9), "others"))
    assert reader.num_read == 6 * 5


def test_pairs_that_the_mean_face_aligned_on_either_side_are_counted() -> None:
    faces = painted_set([paint(HAPPY, is_fallback=True), paint(HAPPY), paint(HAPPY)])
    images = [paint(HAPPY), paint(HAPPY, is_fallback=True), paint(HAPPY)]
    assert measure().measure(images, faces)["expression_fallback"].tolist() == [1, 1, 0]


@pytest.fixture
def compared() -> Comparison:
    """Two sets: a model that turns every face happy, and one that keeps them."""
    sets = [
        painted_set([paint(HAPPY), paint(SAD), paint(TORN)]),
        painted_set([paint(HAPPY), paint(UNSURE)], "helen"),
    ]
    columns = (*ImageQuality(SFMNET).columns, *measure().columns)
    results = []
    for name, method, images in (
        ("bicubic", "Bicubic", [paint(HAPPY)] * 3),
        ("mine", "AffectSRNet", [paint(HAPPY), paint(UNSURE), paint(SAD)]),
    ):
        described = ModelDescription(name=name, scale=8, architecture="x", method=method)  # type: ignore[arg-type]
        values = {
            faces.name: {
                "psnr_db": np.full(len(faces), 20.0),
                "ssim": np.full(len(faces), 0.5),
                "psnr_rgb_db": np.full(len(faces), 20.0),
                **measure().measure(images[: len(faces)], faces),
            }
            for faces in sets
        }
        results.append(result_of(described, values, columns))
    return compare_results(results, sets, columns=columns)


def test_expressions_are_told_apart_by_what_the_original_shows(compared: Comparison) -> None:
    (table,) = expression_tables(compared)
    assert (table.scale, table.titles) == (8, ("bicubic", "mine"))
    by_name = {row.expression: row for row in table.rows}
    assert [by_name[name].n for name in ("neutral", "happy", "sad", "all")] == [0, 3, 2, 5]
    assert by_name["neutral"].kept == (None, None)
    means = {n: [e.mean for e in r.kept if e is not None] for n, r in by_name.items() if r.n}
    assert means == {"happy": [1, 1], "sad": [0, 0.5], "all": [0.6, 0.8]}


def test_the_tables_are_in_text_and_page(compared: Comparison) -> None:
    text = expressions_text(compared)
    assert "EXPRESSIONS KEPT, x8, share of faces, read by emotion-painted@1" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["sad", "2", "0.000", "[0.000,", "0.000]", "0.500", "[0.000,", "1.000]"] in lines
    assert ["fear", "0", "-", "-"] in lines
    page = report_page(compared, head=PageHead("t", "now", "0" * 40), strips=[])
    assert "Expressions kept at x8" in page
    assert "<th>sad</th><td>2</td><td>0.000" in page


def test_the_papers_tables_have_their_ecm_column_filled(compared: Comparison) -> None:
    ecm = compared.results[0].estimates["celeba"]["ecm"].mean
    assert math.isfinite(ecm)
    lines = [line.split() for line in paper_tables_text(compared).splitlines()]
    row = next(line for line in lines if line[:2] == ["ECM", "ours"])
    assert row[2] == f"{ecm:.2f}"
    assert row[-1] == f"{compared.results[1].estimates['celeba']['ecm'].mean:.2f}"

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from model_store.image_tensor import RgbImage
from tests.training.evaluation.sets import make_face_set
from training.evaluation.comparison import Comparison, compare_results, result_of
from training.evaluation.faces import FaceSet
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.models import BicubicUpscaler, Model, ModelDescription
from training.evaluation.paper import COMPONENTS, DATASETS, METHODS, dataset_of, paper_value
from training.evaluation.report.markup import Markup, styled, tag
from training.evaluation.report.page import PageHead, report_page
from training.evaluation.report.paper_text import paper_tables_text
from training.evaluation.report.strips import Strip, data_uri, face_strips
from training.evaluation.report.tables import paper_tables
from training.quality import SFMNET

HEAD = PageHead("A <title> & more", "2026-01-02 03:04 UTC", "0" * 40)
EVIL = "<script>alert('x')</script>"


def describe(name: str, **places: str | None) -> ModelDescription:
    described = ModelDescription(name=name, scale=8, architecture="x", origin="from nothing")
    for field, value in places.items():
        object.__setattr__(described, field, value)
    return described


@pytest.fixture
def sets() -> list[FaceSet]:
    return [make_face_set("celeba", faces=5), make_face_set("others", faces=5)]


@pytest.fixture
def compared(sets: list[FaceSet]) -> Comparison:
    columns = ImageQuality(SFMNET).columns
    results = [
        result_of(
            description,
            {
                faces.name: {
                    "psnr_db": 20 + np.arange(5.0) * (1 + gain),
                    "ssim": np.full(5, 0.5),
                    "psnr_rgb_db": np.full(5, 19.0),
                }
                for faces in sets
            },
            columns,
        )
        for gain, description in enumerate(
            [
                describe("bicubic", method="Bicubic"),
                describe("mine", method="AffectSRNet", component=COMPONENTS[2]),
                describe("plain", component=COMPONENTS[0]),
                describe(EVIL),
                describe("mine", control="mean"),
            ]
        )
    ]
    return compare_results(results, sets, columns=columns, notes=[f"Note of {EVIL}"])


@pytest.fixture
def strips(compared: Comparison, sets: list[FaceSet]) -> list[Strip]:
    models = [Model(r.description, BicubicUpscaler(), 8) for r in compared.results]
    return face_strips(compared, sets=sets, models=models)


class Links(HTMLParser):
    """Collects what a browser would fetch or follow, and checks that elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(name)
        self.fetched += [v or "" for k, v in attributes if k in ("src", "href", "srcset", "action")]
        if name not in ("meta", "img"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name


def test_the_page_asks_for_nothing_outside(compared: Comparison, strips: list[Strip]) -> None:
    page = report_page(compared, head=HEAD, strips=strips)
    links = Links()
    links.feed(page)
    assert links.open == []
    assert len(links.fetched) == 2 * 3 * 6  # sets, faces, images of each
    assert all(link.startswith("data:image/webp;base64,") for link in links.fetched)
    assert not {"script", "link", "iframe", "object", "embed"} & links.seen
    assert not re.search(r"@import|url\(|https?:", page)


def test_names_cannot_break_out(compared: Comparison, strips: list[Strip]) -> None:
    page = report_page(compared, head=HEAD, strips=strips)
    assert EVIL not in page
    assert page.count("&lt;script&gt;") > 5
    assert "<title>A &lt;title&gt; &amp; more</title>" in page
    assert tag("p", EVIL, attributes={"title": '" onload="x'}) == (
        '<p title="&quot; onload=&quot;x">&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;</p>'
    )
    assert styled("b", "c", Markup("<i>"), "<i>") == '<b class="c"><i>&lt;i&gt;</b>'


def test_a_page_with_faces_says_that_it_must_stay(
    compared: Comparison, strips: list[Strip]
) -> None:
    warning = "Do not pass it on"
    assert warning in report_page(compared, head=HEAD, strips=strips)
    assert warning not in report_page(compared, head=HEAD, strips=[])


def test_faces_are_the_best_the_median_and_the_worst_by_our_gain(strips: list[Strip]) -> None:
    assert [(s.set_name, s.chosen_by) for s in strips] == [("celeba", "mine"), ("others", "mine")]
    ranks = [(face.rank, face.gain_db) for face in strips[0].faces]
    assert ranks == [("best", 4.0), ("median", 2.0), ("worst", 0.0)]
    titles = [title for title, _ in strips[0].faces[0].images]
    assert titles == ["input, 16 px", "bicubic", "mine", "plain", EVIL, "original"]


def test_a_strips_input_shows_its_pixels_and_its_original_is_untouched(
    strips: list[Strip], sets: list[FaceSet]
) -> None:
    images = dict(strips[0].faces[0].images)
    blocks = images["input, 16 px"].reshape(16, 8, 16, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert np.array_equal(images["original"], sets[0].originals[4])


def test_images_are_held_without_loss(tmp_path_factory: pytest.TempPathFactory) -> None:
    import base64
    import io

    from PIL import Image

    image: RgbImage = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    _, _, encoded = data_uri(image).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as opened:
        assert np.array_equal(np.asarray(opened.convert("RGB")), image)


def test_tables_stand_beside_the_papers(compared: Comparison) -> None:
    methods, ablation = paper_tables(compared)
    assert (methods.name, methods.scale) == ("Table II", 8)
    assert [head.title for head in methods.heads] == [*METHODS, EVIL]
    celeba, others = methods.groups
    assert (celeba.title, others.title) == ("CelebA", "others")
    psnr = dict(zip([h.title for h in methods.heads], celeba.rows[0].cells, strict=True))
    ours = psnr["AffectSRNet"]
    assert (ours.paper, ours.paper_gain) == (27.39, pytest.approx(27.39 - 23.58))
    assert ours.measured is not None
    assert ours.gain is not None
    assert (ours.measured.mean, ours.gain.mean) == (24.0, 2.0)
    assert psnr["DIC"].measured is None
    assert psnr["DIC"].paper == 27.37
    assert psnr["Bicubic"].gain is psnr["Bicubic"].paper_gain is None
    assert {cell.paper for row in others.rows for cell in row.cells} == {None}
    ecm = celeba.rows[3]
    assert ecm.metric == "ECM"
    assert {cell.measured for cell in ecm.cells} == {None}
    assert ecm.cells[-2].paper == 11.26

    assert ablation.name == "Table III"
    assert [head.title for head in ablation.heads] == list(COMPONENTS)
    plain, missing, whole = ablation.groups[0].rows[0].cells
    assert (plain.paper, missing.paper, whole.paper) == (25.93, 26.54, 27.46)
    assert plain.measured is not None
    assert missing.measured is None


def test_the_text_shows_a_dash_for_what_is_not_measured(compared: Comparison) -> None:
    text = paper_tables_text(compared)
    lines = [line.split() for line in text.splitlines()]
    assert ["ECM", "ours", *"-" * 8] in lines
    assert ["paper", "17.23", "15.83", "13.85", "13.66", "12.94", "12.48", "11.26", "-"] in lines


def test_the_papers_values_are_those_of_its_tables() -> None:
    """A few cells of each table, read from the paper by eye."""
    assert paper_value("PSNR", method="SPARNet", dataset="CelebA", scale=4) == 31.71
    assert paper_value("LPIPS", method="SRCNN", dataset="Helen", scale=4) == 0.556
    assert paper_value("SSIM", method="AffectSRNet", dataset="FFHQ", scale=8) == 0.7986
    assert paper_value("ECM", method="Bicubic", dataset="Helen", scale=8) == 16.34
    assert {paper_value("PSNR", method="DIC", dataset="FFHQ", scale=scale) for scale in (4, 8)} == {
        None
    }


def test_a_pack_stands_for_the_set_that_its_name_ends_with() -> None:
    assert [dataset_of(name) for name in ("celeba", "test_ffhq", "Helen", "helen_crops")] == [
        "CelebA",
        "FFHQ",
        "Helen",
        None,
    ]
    assert set(DATASETS) == {"CelebA", "Helen", "FFHQ"}

"""From a picture that is given to what is shown and saved of it."""

import base64
import math
import re

import pytest
from playwright.sync_api import expect

from tests.fakes import NearestEngine, emotion_reading
from tests.service.photo.drawn import draw_photo, finding_engine
from tests.service.studio.conftest import OpenStudio
from tests.service.studio.photos import FACES, answer_with_photo
from tests.service.studio.studio import Studio, picture
from tests.service.support import as_array, as_file
from tests.service.tiny_models import calibration_for


def test_sample_is_upscaled_by_one_click(studio: Studio) -> None:
    studio.page.get_by_role("button", name="Try it with a sample face").click()
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible()
    expect(studio.page.locator("figcaption").first).to_contain_text(
        "16\u2009\u00d7\u200916 became 128\u2009\u00d7\u2009128"
    )


def test_pictures_are_chosen_by_keyboard(studio: Studio) -> None:
    # Whoever listens only when the key is pressed may be too late on a busy machine.
    studio.page.on("filechooser", lambda chooser: None)
    studio.page.get_by_role("button", name="Choose pictures").focus()
    with studio.page.expect_file_chooser() as opened:
        studio.page.keyboard.press("Enter")
    assert opened.value.is_multiple()
    opened.value.set_files([picture(10), picture(20)])
    expect(studio.page.locator("[data-status=done]")).to_have_count(3)  # two thumbnails, a stage


_TRANSFER = """([kind, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "given.png", { type: "image/png" }));
  const init = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...init, clipboardData: transfer })
    : new DragEvent(kind, { ...init, dataTransfer: transfer });
  document.body.dispatchEvent(event);
  return [event.defaultPrevented, document.documentElement.className];
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_picture_is_dropped_or_pasted_anywhere(studio: Studio, kind: str) -> None:
    encoded = base64.b64encode(picture()["buffer"]).decode()
    if kind == "drop":
        assert studio.page.evaluate(_TRANSFER, ["dragenter", encoded]) == [False, "dropping"]
        assert studio.page.evaluate(_TRANSFER, ["dragover", encoded])[0]
    studio.page.evaluate(_TRANSFER, [kind, encoded])
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible()
    expect(studio.film).to_have_accessible_name("given.png, done")
    assert not studio.page.evaluate("document.documentElement.className")


def test_several_pictures_are_sent_one_at_a_time_and_each_shows_its_own_result(
    studio: Studio, engine: NearestEngine
) -> None:
    studio.give(*(picture(level) for level in (10, 20, 30)))
    expect(studio.page.locator("#film [data-status=done]")).to_have_count(3)
    assert [len(batch) for batch in engine.batches if len(batch) != 2] == [1, 1, 1]
    for index, level in enumerate((10, 20, 30)):
        studio.film.nth(index).click()
        expect(studio.film.nth(index)).to_have_attribute("aria-current", "true")
        with studio.page.expect_download() as download:
            studio.page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == f"{level}-affectsr.png"
        assert as_array(download.value.path().read_bytes())[0, 0, 0] == level


def test_download_has_the_bytes_of_the_reply(studio: Studio) -> None:
    with studio.page.expect_response(re.compile("/v1/upscale")) as answered:
        studio.give_and_wait(picture(name="my face.jpeg"))
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Download").click()
    reply = answered.value.json()
    assert download.value.path().read_bytes() == base64.b64decode(reply["image_base64"])
    assert download.value.suggested_filename == "my face-affectsr.png"


def test_bars_show_what_was_read_before_and_after(studio: Studio) -> None:
    studio.give_and_wait(picture())
    rows = studio.face.get_by_role("row").all_inner_texts()
    assert [re.split(r"\s*\t\s*", row.strip()) for row in rows][1:5] == [
        ["neutral", "13\u202f%", "13\u202f%"],
        ["happy", "75\u202f%", "75\u202f%"],
        ["sad", "6\u202f%", "6\u202f%"],
        ["surprised", "6\u202f%", "6\u202f%"],
    ]
    happy = studio.face.locator("tr", has_text="happy").locator("td.after")
    fill, track = (happy.locator(name).bounding_box() for name in (".fill", ".track"))
    assert fill is not None and track is not None
    assert fill["width"] / track["width"] == pytest.approx(0.75, abs=0.02)
    expect(studio.face).to_contain_text("Looks happy")
    expect(studio.face).to_contain_text("was not measured for this model")


@pytest.mark.parametrize(
    ("kept", "title", "odds"), [(0.93, "Probably happy", "93"), (0.41, "Too small to tell", "41")]
)
def test_what_cannot_be_recovered_is_said_in_words(
    studio: Studio, engine: NearestEngine, kept: float, title: str, odds: str
) -> None:
    calibration = calibration_for("0" * 64, "1" * 64)
    calibration.coefficients.zero_()[0] = math.log(kept / (1 - kept))
    engine.calibrations["affectsrnet-x4@1"] = calibration
    studio.give_and_wait(picture())
    verdict = studio.face.locator(".verdict")
    expect(verdict.get_by_role("heading")).to_have_text(title)
    expect(verdict).to_contain_text(
        f"of 100 results like this, about {odds} show the true", ignore_case=True
    )


def test_change_of_expression_and_unsure_landmarks_are_said(
    studio: Studio, engine: NearestEngine
) -> None:
    engine.emotion_of = lambda image: (
        emotion_reading(0.25, 0.75)
        if image is engine.batches[-1][0]
        else emotion_reading(0.25, 0.0, 0.75, confidence=0.2)
    )
    studio.give_and_wait(picture())
    expect(studio.face).to_contain_text("Looks happy")
    expect(studio.face).to_contain_text("The small face itself reads as sad.")
    expect(studio.face).to_contain_text("not sure enough to be aligned by its own landmarks")


def test_expressions_that_were_not_read_are_not_invented(open_studio: OpenStudio) -> None:
    studio = open_studio(engine=NearestEngine())
    studio.give_and_wait(picture())
    expect(studio.face).to_contain_text("This service reads no expressions")
    expect(studio.face.get_by_role("table")).to_have_count(0)


def test_service_without_photo_mode_is_asked_for_nothing_of_it(studio: Studio) -> None:
    expect(studio.page.get_by_text("or a whole photo")).to_be_hidden()
    studio.give_and_wait(picture())
    expect(studio.page.get_by_text("Treat as")).to_be_hidden()
    assert studio.upscale_queries == [{}]


def test_removing_the_last_picture_leads_back_to_the_start(studio: Studio) -> None:
    studio.give_and_wait(picture())
    studio.page.get_by_role("button", name="Remove").click()
    expect(studio.page.get_by_role("button", name="Choose pictures")).to_be_visible()


# --- a photo with several faces ---


def test_face_of_a_photo_is_chosen_by_its_box(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    expect(studio.boxes).to_have_count(len(FACES))
    for box, face in zip(studio.boxes.all(), FACES, strict=True):
        frame, place = studio.page.locator(".frame").bounding_box(), box.bounding_box()
        assert frame is not None and place is not None
        assert (place["x"] - frame["x"]) / frame["width"] == pytest.approx(face.x / 120, abs=0.01)
        assert place["width"] / frame["width"] == pytest.approx(face.side / 120, abs=0.01)
    studio.boxes.nth(1).click()
    expect(studio.face).to_contain_text("Face 2 of 3")
    expect(studio.face).to_contain_text("those of an average face stood in (confidence 31\u202f%)")
    expect(studio.face.locator(".verdict")).to_contain_text("Too small to tell")
    studio.boxes.nth(2).press("Enter")
    expect(studio.face).to_contain_text("left as it is: the face is larger than the result")
    expect(studio.boxes.nth(2)).to_be_focused()
    studio.page.get_by_role("button", name="Face 1", exact=True).click()
    expect(studio.face).to_contain_text("Probably happy")
    assert studio.share == 50


def test_faces_are_found_by_the_service_itself(open_studio: OpenStudio) -> None:
    studio = open_studio(engine=finding_engine())
    photo = draw_photo(200, 120, (20, 20, 32), (80, 30, 16))
    studio.give_and_wait({"name": "p.png", "mimeType": "image/png", "buffer": as_file(photo)})
    expect(studio.boxes).to_have_count(2)
    expect(studio.face).to_contain_text("Face 1 of 2")
    studio.page.get_by_label("Upscale this face").uncheck()
    expect(studio.page.locator(".stage")).to_have_attribute("data-status", "done")
    expect(studio.face).to_contain_text("left as it is: not selected.")


def test_unselected_face_is_left_out_of_the_next_request(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    studio.page.get_by_label("Upscale this face").uncheck()
    expect(studio.page.locator(".stage")).to_have_attribute("data-status", "done")
    first, second = studio.upscale_queries
    assert "box" not in first
    assert second["box"] == [f"{f.x},{f.y},{f.side},{f.side}" for f in FACES[1:]]
    studio.page.get_by_label("Upscale this face").check()
    expect(studio.page.locator(".stage")).to_have_attribute("data-status", "done")
    assert "box" not in studio.upscale_queries[-1]


def test_strength_size_and_kind_are_asked_for_once_settled(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    strength = studio.page.get_by_role("slider", name="Strength")
    for _ in range(4):
        strength.press("ArrowLeft")
    expect(strength).to_have_attribute("aria-valuetext", "80\u202f%")
    with studio.page.expect_request(re.compile(r"strength=0\.8")):
        pass
    with studio.page.expect_request(re.compile("factor=4")):
        studio.page.get_by_role("radio", name="4\u00d7").check()
    with studio.page.expect_request(re.compile("mode=photo")):
        studio.page.get_by_role("radio", name="Photo").check()
    queries = studio.upscale_queries
    assert queries[0] == {"mode": ["auto"], "factor": ["2"], "strength": ["1"]}
    assert queries[-1] == {"mode": ["photo"], "factor": ["4"], "strength": ["0.8"]}
    assert len(queries) == 4


def test_boxes_can_be_hidden(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    studio.page.get_by_label("Boxes").uncheck()
    expect(studio.boxes.first).to_be_hidden()

"""The divider between before and after."""

from playwright.sync_api import expect

from tests.service.studio.conftest import OpenStudio
from tests.service.studio.photos import answer_with_photo
from tests.service.studio.studio import Studio, picture


def at(studio: Studio, share: float) -> tuple[float, float]:
    """A point of the picture, so much of its width from the left and near its top."""
    frame = studio.page.locator(".frame").bounding_box()
    assert frame is not None
    return frame["x"] + frame["width"] * share, frame["y"] + frame["height"] * 0.1


def result_begins_at(studio: Studio) -> float:
    """How much of the result is cut off on its left, by the browser's own account."""
    clip = studio.page.locator(".frame > img").nth(1).evaluate("e => getComputedStyle(e).clipPath")
    return float(clip.removeprefix("inset(0px 0px 0px ").removesuffix("%)"))


def test_divider_is_dragged_by_mouse_or_goes_where_the_picture_is_clicked(studio: Studio) -> None:
    studio.give_and_wait(picture())
    knob = studio.page.locator(".knob").bounding_box()
    assert knob is not None
    studio.page.mouse.move(knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2)
    studio.page.mouse.down()
    studio.page.mouse.move(*at(studio, 0.25), steps=3)
    assert studio.share == 25
    assert result_begins_at(studio) == 25
    studio.page.mouse.move(*at(studio, 1.5))  # beyond the picture
    studio.page.mouse.up()
    assert studio.share == 100
    studio.page.mouse.move(*at(studio, 0.5))
    assert studio.share == 100
    studio.page.mouse.click(*at(studio, 0.8))
    assert studio.share == 80


def test_drag_that_begins_on_a_face_moves_the_divider_and_chooses_nothing(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    box = studio.boxes.nth(1).bounding_box()
    assert box is not None
    studio.page.mouse.move(box["x"] + 5, box["y"] + 5)
    studio.page.mouse.down()
    studio.page.mouse.move(*at(studio, 0.9), steps=3)
    studio.page.mouse.up()
    assert studio.share == 90
    expect(studio.face).to_contain_text("Face 1 of 3")


def test_divider_is_moved_by_keys_and_says_where_it_is(studio: Studio) -> None:
    studio.give_and_wait(picture())
    for key, share in (
        ("ArrowLeft", 48),
        ("ArrowRight", 50),
        ("ArrowUp", 52),
        ("ArrowDown", 50),
        ("PageUp", 60),
        ("PageDown", 50),
        ("Home", 0),
        ("ArrowLeft", 0),
        ("End", 100),
        ("ArrowRight", 100),
    ):
        studio.slider.press(key)
        assert studio.share == share, key
        assert result_begins_at(studio) == share
        expect(studio.slider).to_have_attribute(
            "aria-valuetext", f"{share} % before, {100 - share} % after"
        )


def test_divider_follows_a_finger(open_studio: OpenStudio) -> None:
    studio = open_studio(has_touch=True, viewport={"width": 390, "height": 844})
    studio.give_and_wait(picture())
    fingers = studio.page.context.new_cdp_session(studio.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]},
        )

    touch("touchStart", at(studio, 0.5))
    for share in (0.45, 0.3, 0.2):
        touch("touchMove", at(studio, share))
    touch("touchEnd")
    assert studio.share == 20

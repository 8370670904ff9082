"""How the page looks and sounds: by axe-core's rules, on a phone, in the dark, by keyboard."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.service.studio.conftest import OpenStudio
from tests.service.studio.photos import answer_with_photo
from tests.service.studio.studio import Studio, picture

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def show_welcome(studio: Studio) -> None:
    expect(studio.page.get_by_role("button", name="Choose pictures")).to_be_visible()


def show_face(studio: Studio) -> None:
    studio.give_and_wait(picture())


def show_photo(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90), picture(50, name=f"{'long' * 30}.png"))
    studio.boxes.nth(1).click()
    expect(studio.face).to_contain_text("Face 2 of 3")


def show_problem(studio: Studio) -> None:
    studio.give(picture(width=400, height=20))
    expect(studio.problem).to_be_visible()


def show_key(studio: Studio) -> None:
    studio.page.route("**/v1/models", lambda route: route.fulfill(status=401, body="no key"))
    studio.page.reload()
    expect(studio.page.get_by_label("API key")).to_be_visible()


SIGHTS = [show_welcome, show_face, show_photo, show_problem, show_key]


@pytest.mark.parametrize("show", SIGHTS)
def test_phone_needs_no_sideways_scrolling_and_axe_finds_nothing(
    open_studio: OpenStudio, show: Callable[[Studio], None]
) -> None:
    # Without motion, or colours would be judged on their way from one scheme to the other.
    studio = open_studio(**PHONE, reduced_motion="reduce")
    show(studio)
    assert studio.page.evaluate("document.documentElement.scrollWidth") == 390
    for button in studio.page.get_by_role("button").all():
        if button.is_visible():
            place = button.bounding_box()
            assert place is not None
            assert place["x"] >= 0, button
            assert place["x"] + place["width"] <= 390, button
    for scheme in ("light", "dark"):
        studio.page.emulate_media(color_scheme=scheme)
        findings = Axe().run(studio.page).response["violations"]
        assert [(scheme, f["id"], f["nodes"][0]["html"]) for f in findings] == []


def brightness(studio: Studio, selector: str, what: str) -> float:
    colour = studio.page.locator(selector).evaluate(f"e => getComputedStyle(e).{what}")
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(")[:-1].split(","))
    return (red + green + blue) / 765


def test_colours_and_motion_are_as_the_person_wants_them(studio: Studio) -> None:
    studio.page.emulate_media(color_scheme="light")
    assert brightness(studio, "body", "backgroundColor") > 0.9
    assert brightness(studio, "body", "color") < 0.2
    studio.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert brightness(studio, "body", "backgroundColor") < 0.1
    assert brightness(studio, "body", "color") > 0.8
    moving = studio.page.evaluate(
        """[...document.querySelectorAll("*")].filter((e) => {
             const style = getComputedStyle(e);
             return style.animationName !== "none" || parseFloat(style.transitionDuration) > 0;
           }).length"""
    )
    assert moving == 0


# The ring may be on a part: the knob of the divider, the text of a radio button.
_FOCUSED = """() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  const hasRing = [e, e.nextElementSibling, e.firstElementChild].filter(Boolean)
    .some((each) => getComputedStyle(each).outlineStyle === "solid");
  const name = e.ariaLabel || e.name || e.id || e.closest("label")?.textContent || e.textContent;
  return { name, hasRing };
}"""


def test_everything_is_reached_by_tab_and_shows_that_it_is(studio: Studio) -> None:
    show_photo(studio)
    studio.page.locator("header").click()
    reached = []
    while True:
        studio.page.keyboard.press("Tab")
        focused = studio.page.evaluate(_FOCUSED)
        if focused is None or focused["name"] in reached[:1]:
            break
        reached.append(focused["name"])
        assert focused["hasRing"], focused["name"]
    assert len(reached) < 40
    named = [name for name in reached if not name.startswith("long")]
    assert named == [
        "API docs", "90.png, done", "Add pictures",
        "Face 1, 25 pixels", "Face 2, 20 pixels", "Face 3, 45 pixels", "Before and after",
        "Boxes", "Remove", "Download",
        "mode", "factor", "strength",
        "Face 1", "Face 2", "Face 3", "Upscale this face",
    ]  # fmt: skip


def test_what_happened_is_announced(studio: Studio) -> None:
    answer_with_photo(studio.page)
    studio.give_and_wait(picture(width=120, height=90))
    expect(studio.page.get_by_role("status")).to_have_text("90.png: 3 faces, 2 of them upscaled.")

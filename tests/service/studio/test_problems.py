"""What goes wrong, and how the page says it."""

import threading
from pathlib import Path

import httpx
from playwright.sync_api import Route, expect

from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.access.keys import key_line
from tests.service.studio.conftest import OpenStudio
from tests.service.studio.studio import Studio, picture
from tests.service.support import URN, as_file, noise, plain


def test_what_is_no_fit_picture_is_refused_in_the_services_words(studio: Studio) -> None:
    studio.give({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    expect(studio.problem).to_contain_text("The body is of a type that is not read here")
    expect(studio.problem).to_contain_text("Content-Type is 'text/plain'; send image/jpeg")
    expect(studio.problem.get_by_role("button")).to_have_count(0)  # the same would come of it
    expect(studio.page.get_by_alt_text("Your picture")).to_be_hidden()
    studio.give({"name": "a.png", "mimeType": "image/png", "buffer": b"GIF89a, or so it says"})
    expect(studio.problem).to_contain_text("The image is no JPEG, PNG or WebP file")
    studio.give(picture(width=400, height=20))
    expect(studio.problem).to_contain_text("400 x 20 px")


def test_file_that_is_too_large_is_refused_with_value_and_limit(open_studio: OpenStudio) -> None:
    studio = open_studio(settings=Settings(codec_threads=1, max_image_bytes=5000))
    studio.give({"name": "a.png", "mimeType": "image/png", "buffer": as_file(noise(64, 64))})
    expect(studio.problem).to_contain_text("The image is too large")
    expect(studio.problem).to_contain_text("5000")


def test_upload_that_is_cut_off_as_too_large_is_told_with_its_limit(
    open_studio: OpenStudio,
) -> None:
    settings = Settings(codec_threads=1, max_image_bytes=2**20, max_body_bytes=2**20)
    studio = open_studio(settings=settings)
    studio.give({"name": "a.png", "mimeType": "image/png", "buffer": bytes(2**21)})
    expect(studio.problem).to_contain_text("The body is too large")
    expect(studio.problem).to_contain_text("1048576")


def test_full_service_counts_down_and_offers_another_try(
    open_studio: OpenStudio, engine: NearestEngine
) -> None:
    settings = Settings(queue_capacity=2, max_images_per_request=1, codec_threads=1)
    studio = open_studio(settings=settings)
    engine.may_run.clear()
    other = threading.Thread(target=_post_picture, args=(studio.address,))
    other.start()
    try:
        assert engine.is_running.wait(10)
        studio.give(picture())
        expect(studio.page.get_by_role("alert")).to_contain_text("The service is full")
        button = studio.problem.get_by_role("button")
        expect(button).to_be_disabled()
        expect(studio.page.locator("#state")).to_have_text("Full")
    finally:
        engine.may_run.set()
        other.join()
    expect(button).to_be_enabled()
    button.click()
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible()
    expect(studio.problem).to_have_count(0)


def test_countdown_is_the_retry_after_and_waiting_pictures_wait_for_it(studio: Studio) -> None:
    studio.page.clock.install()
    studio.page.route("**/v1/upscale*", _refuse_for_seconds(7), times=1)
    studio.give(picture(10), picture(20))
    button = studio.problem.get_by_role("button")
    expect(button).to_have_text("Try again in 7 s")
    studio.page.clock.fast_forward(3000)
    expect(button).to_have_text("Try again in 4 s")
    assert len(studio.upscale_queries) == 1
    studio.page.clock.fast_forward(4500)
    expect(button).to_have_text("Try again")
    expect(studio.film.nth(1)).to_have_accessible_name("20.png, done")
    button.click()
    expect(studio.film.nth(0)).to_have_accessible_name("10.png, done")


def test_service_that_starts_or_stops_is_told_as_that(studio: Studio) -> None:
    studio.page.route(
        "**/v1/upscale*",
        lambda route: route.fulfill(
            status=503,
            headers={"Retry-After": "5"},
            content_type="application/problem+json",
            json=_problem(503, "not-ready", "The service is not ready"),
        ),
    )
    studio.page.route(
        "**/studio/state",
        lambda route: route.fulfill(
            json={
                "status": "draining",
                "inflight": 0,
                "capacity": 9,
                "has_photo_mode": False,
            }
        ),
    )
    studio.give(picture())
    expect(studio.problem).to_contain_text("It is starting or stopping.")
    expect(studio.problem.get_by_role("button")).to_contain_text("Try again in")
    expect(studio.page.locator("#state")).to_have_text("Stopping")


def test_lost_connection_is_told_and_may_be_tried_again(studio: Studio) -> None:
    studio.page.context.set_offline(True)
    studio.give(picture())
    expect(studio.problem).to_contain_text("The service cannot be reached")
    expect(studio.page.locator("#state")).to_have_text("Not reachable")
    studio.page.context.set_offline(False)
    studio.problem.get_by_role("button", name="Try again").click()
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible()


def test_answer_of_something_in_between_is_not_taken_for_the_services(studio: Studio) -> None:
    studio.page.route(
        "**/v1/upscale*",
        lambda route: route.fulfill(status=413, content_type="text/html", body="<h1>413</h1>"),
    )
    studio.give(picture())
    expect(studio.problem).to_contain_text("The request was refused (413)")
    expect(studio.problem).to_contain_text("has answered instead of it")


def test_file_name_that_looks_like_markup_is_shown_as_text(studio: Studio) -> None:
    name = "<img src=x onerror=alert(1)>.png"
    studio.give_and_wait(picture(name=name))
    expect(studio.film).to_have_accessible_name(f"{name}, done")
    assert studio.page.locator("img[src=x]").count() == 0


# --- API keys ---


def test_key_is_asked_for_at_once_and_kept_in_memory_only(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_text(key_line("anna", "annas-secret"))
    studio = open_studio(settings=Settings(codec_threads=1, api_keys_file=path))
    field = studio.page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("wrong")
    field.press("Enter")
    expect(studio.page.locator(".key")).to_contain_text("The API key is not known here")
    studio.give(picture())  # waits for the key
    expect(studio.problem).to_contain_text("A known API key is needed")
    field.fill("annas-secret")
    studio.page.get_by_role("button", name="Use this key").click()
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible()
    expect(field).to_be_hidden()
    stored = studio.page.evaluate(
        "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    )
    assert "secret" not in stored
    assert not any("secret" in request.url for request in studio.requests)
    studio.page.reload()
    expect(field).to_be_focused()
    expect(field).to_have_value("")


def _post_picture(address: str) -> None:
    httpx.post(
        f"{address}v1/upscale",
        content=as_file(plain(5)),
        headers={"Content-Type": "image/png"},
        timeout=20,
    )


def _refuse_for_seconds(seconds: int):  # noqa: ANN202 - Playwright's handler
    def refuse(route: Route) -> None:
        route.fulfill(
            status=429,
            headers={"Retry-After": str(seconds)},
            content_type="application/problem+json",
            json=_problem(429, "overloaded", "The service is full"),
        )

    return refuse


def _problem(status: int, kind: str, title: str) -> dict[str, object]:
    return {
        "type": URN + kind,
        "title": title,
        "status": status,
        "detail": "words for programs",
        "request_id": "of-a-problem",
        "retryable": True,
    }

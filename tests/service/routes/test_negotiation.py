import pytest

from service.routes.negotiation import preferred_media_type

OFFERED = ("image/jpeg", "image/webp", "image/png", "application/json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/png;q=0.5, image/webp;q=0.9", "image/webp"),
        ("image/png;q=0.5, */*;q=0.1", "image/png"),
        ("image/*, image/jpeg;q=0", "image/webp"),
        ("application/json;charset=utf-8", "application/json"),
        ("text/html,image/avif,image/webp,image/apng,*/*;q=0.8", "image/webp"),
        ("text/html", None),
        ("image/png;q=0", None),
        ("image/gif, text/*", None),
        ("image/png;q=nonsense, image/webp;q=0.1", "image/webp"),
        ("image/png;q=7, image/webp;q=0.1", "image/webp"),
        (",,image/png,,", "image/png"),
    ],
)
def test_accept_chooses_among_the_offered(accept: str, chosen: str | None) -> None:
    assert preferred_media_type(accept, OFFERED) == chosen

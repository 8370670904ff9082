"""Forms that no client would send are refused by a documented 4xx, in bounded time and memory."""

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.settings import Settings
from tests.fakes import NearestEngine, served_classifier
from tests.service.support import as_file, client_of, noise

IMAGE = as_file(noise(16, 16))
MIB = 2**20
MAX_CPU_SECONDS = 1.0
# What the document tells of a body, and success where a form was sound all the same.
EXPECTED = {200, 400, 404, 413, 415, 422}


class Caller:
    """A running application and the loop that it lives on."""

    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def post(self, path: str, body: bytes, content_type: str) -> httpx.Response:
        """Send a body in pieces, as a socket would bring it."""

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 65_536):
                yield body[start : start + 65_536]

        headers = {b"Content-Type": content_type.encode("latin-1", "replace")}
        return self._runner.run(self._client.post(path, content=pieces(), headers=headers))


@pytest.fixture(scope="module")
def caller() -> Iterator[Caller]:
    engine = NearestEngine(classifier=served_classifier())
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        client = runner.run(stack.enter_async_context(client_of(Settings(codec_threads=1), engine)))
        yield Caller(runner, client)
        runner.run(stack.aclose())


def assert_told(response: httpx.Response) -> None:
    """It is an answer that the document tells, and an error is a complete problem."""
    assert response.status_code in EXPECTED, response.text
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]
        assert len(response.content) < 2000


# --- anything ---

NAMES = st.sampled_from(["image", "scale", "model", "original", "super_resolved", ""]) | st.text(
    st.characters(codec="utf-8"), max_size=20
)
QUOTED = NAMES.map(lambda name: f'"{name}"') | st.sampled_from(
    ["image", '"', '"\\"', '"a\x00b"', '"a\r\n b"', '"..\\..\\x"', "utf-8''%00%ff", '"%22"']
)
DISPOSITIONS = st.builds(
    lambda kind, options: "; ".join([kind, *options]),
    st.sampled_from(["form-data", "attachment", "", "form-data ; x", "FORM-DATA"]),
    st.lists(
        st.builds(
            lambda key, value: f"{key}={value}",
            st.sampled_from(["name", "filename", "filename*", "name*0", "size", ""]),
            QUOTED,
        ),
        max_size=3,
    ),
)
HEADERS = st.one_of(
    st.builds(lambda value: f"Content-Disposition: {value}", DISPOSITIONS),
    st.sampled_from(
        [
            'Content-Disposition: form-data; name="image"; filename="a.png"',
            'Content-Disposition: form-data; name="scale"',
            "Content-Type: image/png",
            "Content-Type: text/plain; charset=utf-16",
            "Content-Type: text/plain; charset=no-such-charset",
            "Content-Type: multipart/mixed; boundary=inner",
            "Content-Transfer-Encoding: base64",
            "Content-Length: 99999999999",
            "no colon",
            ": no name",
            "X-Long: " + "a" * 9000,
            "X-Null: \x00",
            "Folded: a\r\n b",
        ]
    ),
)
BODIES = st.one_of(
    st.sampled_from(
        [IMAGE, IMAGE[:50], b"", b"4", b"\xff\xfe4\x00", b"\r\n", b"--inner\r\n\r\nx\r\n--inner--"]
    ),
    st.binary(max_size=200),
)
LINE_ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r"])
BOUNDARIES = st.sampled_from(["x", "x", "-", "a" * 70, "a b", "=_?", "\xe9", "\x00", ""])


@st.composite
def forms(draw: st.DrawFn) -> tuple[bytes, str]:
    """A body that resembles a form, and its content type."""
    boundary, end = draw(BOUNDARIES), draw(LINE_ENDS)
    parts = draw(st.lists(st.tuples(st.lists(HEADERS, max_size=4), BODIES), max_size=20))
    body = draw(st.sampled_from([b"", b"", b"preamble\r\n", b"\r\n"]))
    for headers, data in parts:
        head = end.join([f"--{boundary}", *headers, "", ""])
        body += head.encode("utf-8", "surrogatepass") + data + end.encode()
    closing = draw(
        st.sampled_from(["--{}--\r\n", "--{}--", "--{}--", "--{}", "", "--{}--epilogue"])
    )
    body += closing.format(boundary).encode("utf-8")
    cut = draw(st.none() | st.none() | st.integers(0, len(body)))
    declared = draw(st.sampled_from([boundary, boundary, boundary, f'"{boundary}"', "other"]))
    return body[:cut], f"multipart/form-data; boundary={declared}"


@given(forms(), st.sampled_from(["/v1/upscale", "/v1/ecm"]))
@settings(max_examples=150, deadline=None)
def test_any_form_is_answered_as_the_document_tells(
    caller: Caller, form: tuple[bytes, str], path: str
) -> None:
    body, content_type = form
    started_at = time.thread_time()
    assert_told(caller.post(path, body, content_type))
    assert time.thread_time() - started_at < MAX_CPU_SECONDS


# --- the worst of 15 MiB ---


def part(headers: bytes, data: bytes = b"") -> bytes:
    return b"--x\r\n" + headers + b"\r\n\r\n" + data + b"\r\n"


FILE = b'Content-Disposition: form-data; name="image"; filename="a.png"'
HEAVY = {
    "a header of 15 MiB": part(FILE + b"\r\nX-A: " + b"a" * 15 * MIB),
    "a header's name of 15 MiB": part(FILE + b"\r\n" + b"a" * 15 * MIB + b": 1"),
    "a million headers": part(FILE + b"\r\nX-A: b" * 1_500_000),
    "two hundred thousand fields": part(b'Content-Disposition: form-data; name="a"') * 200_000,
    "two hundred thousand files": part(FILE) * 180_000,
    "a name of 15 MiB": part(b'Content-Disposition: form-data; name="' + b"i" * 15 * MIB + b'"'),
    "a million options": part(FILE + b'; a="b"' * 2 * MIB),
    "a million backslashes": part(FILE[:-1] + b'\\"' * 7 * MIB + b'"'),
    "a name in 200,000 pieces": part(FILE + b"".join(b"; name*%d=a" % n for n in range(200_000))),
    "no boundary at all": b"a" * 15 * MIB,
    "nothing but line ends": b"\r\n" * 7 * MIB,
    "boundaries that are none": part(FILE, b"\r\n--y" * 3 * MIB),
    "beginnings of boundaries": part(FILE, b"\r\n--" * 3 * MIB),
    "15 MiB behind the end": part(FILE, IMAGE) + b"--x--" + b"\r\n--x\r\n" * 2 * MIB,
}


@pytest.mark.parametrize("body", HEAVY.values(), ids=HEAVY)
def test_heaviest_form_costs_little(caller: Caller, body: bytes) -> None:
    body += b"--x--"
    tracemalloc.start()
    started_at = time.thread_time()
    response = caller.post("/v1/upscale", body, "multipart/form-data; boundary=x")
    seconds = time.thread_time() - started_at
    _, highest_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_told(response)
    assert seconds < MAX_CPU_SECONDS
    # A form's bytes once in the parser's file and once as the image.
    assert highest_bytes < 3 * len(body)

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from service.app import create_app
from service.errors import OverloadedError
from service.settings import Settings
from service.uploads import UploadMiddleware
from tests.fakes import NearestEngine
from tests.service.support import as_file, assert_problem, noise, post_image, running

pytestmark = pytest.mark.anyio


class Upload:
    """A request whose body arrives piece by piece, and what was answered."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.num_read = 0
        self.sent: list[Message] = []

    def arrives(self, num_bytes: int, *, more: bool = True) -> None:
        message = {"type": "http.request", "body": bytes(num_bytes), "more_body": more}
        self.messages.put_nowait(message)

    def breaks_off(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        self.num_read += 1
        return await self.messages.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()
    await PlainTextResponse("read")(scope, receive, send)


def middleware(
    *, max_held_bytes: int = 100, check_room: Callable[[str], None] = lambda path: None
) -> UploadMiddleware:
    return UploadMiddleware(
        reads_all, max_body_bytes=1000, max_held_bytes=max_held_bytes, check_room=check_room
    )


def begin(app: UploadMiddleware, upload: Upload) -> asyncio.Task[None]:
    scope = {"type": "http", "method": "POST", "path": "/v1/upscale", "headers": [], "state": {}}
    return asyncio.create_task(app(scope, upload.receive, upload.send))


async def test_body_is_not_read_where_there_is_no_room() -> None:
    def refuse(path: str) -> None:
        assert path == "/v1/upscale"
        raise OverloadedError("full", retry_after_seconds=3)

    upload = Upload()
    await begin(middleware(check_room=refuse), upload)
    assert upload.status == 429
    assert (b"retry-after", b"3") in upload.sent[0]["headers"]
    assert upload.num_read == 0


async def test_sum_of_all_bodies_is_bounded_and_the_one_that_exceeds_it_is_refused() -> None:
    app = middleware()
    slow, large = Upload(), Upload()
    slow.arrives(60)
    waiting = begin(app, slow)
    await asyncio.sleep(0)
    large.arrives(41)
    with pytest.raises(OverloadedError, match="together would exceed 100 bytes"):
        await begin(app, large)
    slow.arrives(40, more=False)
    await waiting
    assert slow.status == 200


async def test_bytes_are_free_again_when_the_upload_breaks_off_or_is_answered() -> None:
    app = middleware()
    for _ in range(3):
        broken, whole = Upload(), Upload()
        broken.arrives(100)
        broken.breaks_off()
        await asyncio.gather(begin(app, broken), return_exceptions=True)
        whole.arrives(100, more=False)
        await begin(app, whole)
        assert whole.status == 200


async def test_full_service_refuses_before_it_reads(engine: NearestEngine) -> None:
    settings = Settings(queue_capacity=2, max_images_per_request=1, codec_threads=1)

    async def body() -> object:
        read.append("read")
        yield as_file(noise())

    read: list[str] = []
    async with running(create_app(settings, engine=engine)) as client:
        engine.may_run.clear()
        first = asyncio.create_task(post_image(client, as_file(noise())))
        while not engine.is_running.is_set():
            await asyncio.sleep(0.005)
        refused = await client.post(
            "/v1/upscale",
            content=body(),
            headers={"Content-Type": "image/png"},  # type: ignore[arg-type]
        )
        assert_problem(
            refused, status=429, kind="overloaded", says="the 1 that fit", retryable=True
        )
        assert int(refused.headers["retry-after"]) >= 1
        assert read == []
        engine.may_run.set()
        assert (await first).status_code == 200


async def test_deadline_counts_from_when_the_request_came_and_not_from_when_it_is_read(
    engine: NearestEngine,
) -> None:
    app = create_app(Settings(codec_threads=1), engine=engine)
    upload = Upload()
    upload.arrives(100, more=False)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/upscale",
        "query_string": b"",
        "headers": [(b"content-type", b"image/png"), (b"x-request-timeout-ms", b"200")],
        "state": {"waited_seconds": 0.2},
    }
    async with running(app):
        await app(scope, upload.receive, upload.send)
    assert upload.status == 504
    assert upload.num_read == 0

"""The client for coroutines on asyncio; its methods are `Client`'s."""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Self, TypeVar

import httpx

from service.client.calls import (
    Call,
    ImageInput,
    PhotoOptions,
    UpscaledImage,
    UpscaledPhoto,
    delete_ecm_set_call,
    ecm_call,
    ecm_set_call,
    ecm_sets_call,
    finish,
    is_ready_reply,
    model_call,
    models_call,
    photo_call,
    read_image,
    upscale_call,
    wrap_transport_error,
)
from service.client.defaults import (
    DEFAULT_TIMEOUT_SECONDS,
    PROBE_TIMEOUT_SECONDS,
    client_headers,
)
from service.client.errors import ClientError, UnreachableError
from service.client.retrying import Attempts, RetryPolicy
from service.schemas import EcmReply, EcmSet, EcmSetList, ModelInfo, ModelList

T = TypeVar("T")


class AsyncClient:
    """Calls the service over connections that are kept open; see `Client`.

    A call that is cancelled closes its connection, by which the service drops its work.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing is sent yet; the arguments are those of `Client`."""
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=client_headers(api_key), transport=transport
        )
        self._timeout_seconds = timeout_seconds
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def upscale(
        self,
        image: ImageInput,
        *,
        scale: int | None = None,
        model: str | None = None,
        readout: bool | None = None,
        timeout: float | None = None,
    ) -> UpscaledImage:
        """Upscale one face crop; see `Client.upscale`."""
        data = await asyncio.to_thread(read_image, image)
        call = upscale_call(data, scale=scale, model=model, readout=readout)
        return await self._send(call, timeout)

    async def upscale_many(
        self,
        images: Iterable[ImageInput],
        *,
        scale: int | None = None,
        model: str | None = None,
        readout: bool | None = None,
        timeout: float | None = None,
        num_at_once: int = 4,
    ) -> AsyncGenerator[UpscaledImage | ClientError | OSError, None]:
        """Upscale several; see `Client.upscale_many`.

        Yields:
            for every image, in order, its result, or what `upscale` would raise.
        """

        async def upscale(image: ImageInput) -> UpscaledImage | ClientError | OSError:
            try:
                return await self.upscale(
                    image, scale=scale, model=model, readout=readout, timeout=timeout
                )
            except (ClientError, OSError) as error:
                return error

        waiting = iter(images)
        running: deque[asyncio.Task[UpscaledImage | ClientError | OSError]] = deque()
        try:
            while True:
                while len(running) < num_at_once and (image := next(waiting, None)) is not None:
                    running.append(asyncio.create_task(upscale(image)))
                if not running:
                    return
                yield await running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def photo(
        self,
        image: ImageInput,
        options: PhotoOptions | None = None,
        *,
        timeout: float | None = None,
    ) -> UpscaledPhoto:
        """Enlarge a whole photo and upscale the faces in it; see `Client.photo`."""
        call = photo_call(await asyncio.to_thread(read_image, image), options or PhotoOptions())
        return await self._send(call, timeout)

    async def ecm(
        self,
        pairs: Sequence[tuple[ImageInput, ImageInput]],
        *,
        add_to_set: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> EcmReply:
        """Compare the expressions of pairs; see `Client.ecm`."""
        read = [
            (
                await asyncio.to_thread(read_image, original),
                await asyncio.to_thread(read_image, result),
            )
            for original, result in pairs
        ]
        if add_to_set is not None and idempotency_key is None:
            idempotency_key = str(uuid.uuid4())
        call = ecm_call(read, set_name=add_to_set, idempotency_key=idempotency_key)
        return await self._send(call, timeout)

    async def ecm_sets(self, *, timeout: float | None = None) -> EcmSetList:
        """List the running sets."""
        return await self._send(ecm_sets_call(), timeout)

    async def ecm_set(self, name: str, *, timeout: float | None = None) -> EcmSet:
        """The metric of all that was added to a running set."""
        return await self._send(ecm_set_call(name), timeout)

    async def delete_ecm_set(self, name: str, *, timeout: float | None = None) -> None:
        """Forget a running set; NotFoundError if there is none."""
        await self._send(delete_ecm_set_call(name), timeout)

    async def models(self, *, timeout: float | None = None) -> ModelList:
        """The models that are served, and the classifier."""
        return await self._send(models_call(), timeout)

    async def model(self, name: str, *, timeout: float | None = None) -> ModelInfo:
        """One model, by "name" or "name@version"."""
        return await self._send(model_call(name), timeout)

    async def ready(self) -> bool:
        """Whether the service can be reached and welcomes work now; asked once."""
        try:
            reply = await self._http.get("/readyz", timeout=PROBE_TIMEOUT_SECONDS)
        except httpx.HTTPError:
            return False
        return is_ready_reply(reply)

    async def _send(self, call: Call[T], timeout: float | None) -> T:
        attempts = Attempts(
            self._retry,
            timeout_seconds=self._timeout_seconds if timeout is None else timeout,
            clock=self._clock,
            rng=self._rng,
        )
        while True:
            seconds_left = attempts.seconds_left()
            try:
                return await self._attempt(call, seconds_left)
            except ClientError as failure:
                await self._sleep(attempts.pause_after(failure))

    async def _attempt(self, call: Call[T], seconds_left: float) -> T:
        try:
            # httpx bounds each wait for the network, this the attempt as a whole.
            async with asyncio.timeout(seconds_left):
                reply = await self._http.request(
                    call.method,
                    call.path,
                    params=call.params,
                    headers=call.request_headers(seconds_left),
                    content=call.content,
                    files=call.form(),
                    timeout=seconds_left,
                )
        except TimeoutError as error:
            raise UnreachableError("the service did not answer in time") from error
        except httpx.HTTPError as error:
            raise wrap_transport_error(error) from error
        return finish(call, reply)

"""The client for code without coroutines."""

import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
from service.client.errors import ClientError
from service.client.retrying import Attempts, RetryPolicy
from service.schemas import EcmReply, EcmSet, EcmSetList, ModelInfo, ModelList

T = TypeVar("T")


class Client:
    """Calls the service over connections that are kept open; safe to share between threads.

    Every call is tried again where that may help and its time allows, see `RetryPolicy`; none does
    its work twice. All raise ClientError, whose subclasses say what happened.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            base_url: such as "http://127.0.0.1:8000".
            api_key: sent with every call, if the service asks for one.
            timeout_seconds: of a whole call, its retries and pauses included, where the call
                names none.
            retry: when to try again; None takes the default.
            transport: of httpx, for proxies and certificates of one's own.
            clock: seconds, monotonic.
            sleep: waits for so many seconds.
            rng: of the pauses' random part.
        """
        self._http = httpx.Client(
            base_url=base_url, headers=client_headers(api_key), transport=transport
        )
        self._timeout_seconds = timeout_seconds
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upscale(
        self,
        image: ImageInput,
        *,
        scale: int | None = None,
        model: str | None = None,
        readout: bool | None = None,
        timeout: float | None = None,
    ) -> UpscaledImage:
        """Upscale one face crop.

        Args:
            image: a JPEG, PNG or WebP file, as bytes or by its path.
            scale: 4 or 8; None leaves it to the image's size.
            model: "name" or "name@version"; None leaves it open.
            readout: whether expressions are read; None leaves it to the service.
            timeout: seconds, for the whole call.

        Raises:
            ClientError: see the classes.
            OSError: the file cannot be read.
        """
        call = upscale_call(read_image(image), scale=scale, model=model, readout=readout)
        return self._send(call, timeout)

    def upscale_many(
        self,
        images: Iterable[ImageInput],
        *,
        scale: int | None = None,
        model: str | None = None,
        readout: bool | None = None,
        timeout: float | None = None,
        num_at_once: int = 4,
    ) -> Generator[UpscaledImage | ClientError | OSError, None, None]:
        """Upscale several, each by a request of its own, which the service batches.

        `timeout` is each image's. No more than `num_at_once` images are in memory.

        Yields:
            for every image, in order, its result, or what `upscale` would raise.
        """

        def upscale(image: ImageInput) -> UpscaledImage | ClientError | OSError:
            try:
                return self.upscale(
                    image, scale=scale, model=model, readout=readout, timeout=timeout
                )
            except (ClientError, OSError) as error:
                return error

        waiting = iter(images)
        running: deque[Future[UpscaledImage | ClientError | OSError]] = deque()
        pool = ThreadPoolExecutor(num_at_once, thread_name_prefix="affectsr-client")
        try:
            while True:
                while len(running) < num_at_once and (image := next(waiting, None)) is not None:
                    running.append(pool.submit(upscale, image))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def photo(
        self,
        image: ImageInput,
        options: PhotoOptions | None = None,
        *,
        timeout: float | None = None,
    ) -> UpscaledPhoto:
        """Enlarge a whole photo and upscale the faces in it.

        Args:
            image: a JPEG, PNG or WebP file, as bytes or by its path.
            options: what is to be done; None does what the service does by default.
            timeout: seconds, for the whole call.

        Raises:
            InvalidRequestError: among others, no face was found (`kind` is "no-face").
            ClientError: see the classes.
            OSError: the file cannot be read.
        """
        call = photo_call(read_image(image), options or PhotoOptions())
        return self._send(call, timeout)

    def ecm(
        self,
        pairs: Sequence[tuple[ImageInput, ImageInput]],
        *,
        add_to_set: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> EcmReply:
        """Compare the expressions of pairs of original and super-resolved images.

        Args:
            pairs: as many as one request may hold.
            add_to_set: name of the running set that they are added to, once, whatever fails.
            idempotency_key: of that addition, for a caller that may send it again after its own
                end; None makes one up for this call.
            timeout: seconds, for the whole call.

        Raises:
            ClientError: see the classes.
            OSError: a file cannot be read.
        """
        read = [(read_image(original), read_image(result)) for original, result in pairs]
        if add_to_set is not None and idempotency_key is None:
            idempotency_key = str(uuid.uuid4())
        call = ecm_call(read, set_name=add_to_set, idempotency_key=idempotency_key)
        return self._send(call, timeout)

    def ecm_sets(self, *, timeout: float | None = None) -> EcmSetList:
        """List the running sets."""
        return self._send(ecm_sets_call(), timeout)

    def ecm_set(self, name: str, *, timeout: float | None = None) -> EcmSet:
        """The metric of all that was added to a running set."""
        return self._send(ecm_set_call(name), timeout)

    def delete_ecm_set(self, name: str, *, timeout: float | None = None) -> None:
        """Forget a running set; NotFoundError if there is none."""
        self._send(delete_ecm_set_call(name), timeout)

    def models(self, *, timeout: float | None = None) -> ModelList:
        """The models that are served, and the classifier."""
        return self._send(models_call(), timeout)

    def model(self, name: str, *, timeout: float | None = None) -> ModelInfo:
        """One model, by "name" or "name@version"."""
        return self._send(model_call(name), timeout)

    def ready(self) -> bool:
        """Whether the service can be reached and welcomes work now; asked once."""
        try:
            return is_ready_reply(self._http.get("/readyz", timeout=PROBE_TIMEOUT_SECONDS))
        except httpx.HTTPError:
            return False

    def _send(self, call: Call[T], timeout: float | None) -> T:
        attempts = Attempts(
            self._retry,
            timeout_seconds=self._timeout_seconds if timeout is None else timeout,
            clock=self._clock,
            rng=self._rng,
        )
        while True:
            seconds_left = attempts.seconds_left()
            try:
                return self._attempt(call, seconds_left)
            except ClientError as failure:
                self._sleep(attempts.pause_after(failure))

    def _attempt(self, call: Call[T], seconds_left: float) -> T:
        try:
            reply = self._http.request(
                call.method,
                call.path,
                params=call.params,
                headers=call.request_headers(seconds_left),
                content=call.content,
                files=call.form(),
                timeout=seconds_left,
            )
        except httpx.HTTPError as error:
            raise wrap_transport_error(error) from error
        return finish(call, reply)

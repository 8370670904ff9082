"""From a photo to the enlarged photo with its faces upscaled: one method for each arrow.

admit -> decode -> find faces (engine: tiles, then what is proposed in them) -> choose -> cut out
-> batch (engine) -> lay into the enlarged photo -> encode. What takes a processor's time runs in
the codec's threads.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from model_store.faces.finding import MIN_LOOKED_FOR_PX, PhotoFace
from model_store.faces.framing import sample_crop
from model_store.faces.pyramid import Level, cut_tiles, plan_levels, smallest_face_px
from model_store.image_tensor import RgbImage
from service.catalogue import ModelCatalogue
from service.engine.base import ServedModel
from service.engine_room import EngineRoom, StageTimes
from service.errors import CapacityError, ImageTooLargeError, NoFaceError, ServiceError
from service.images import AlphaMask, DecodedImage
from service.photo.background import enlarge_alpha, enlarge_photo
from service.photo.description import describe_photo
from service.photo.paste import paste_face
from service.photo.search import search_tiles
from service.photo.selection import is_crop_of_a_face, plan_faces
from service.photo.values import (
    FaceModeWanted,
    FinishedFace,
    PhotoFile,
    PhotoOrder,
    PlannedFace,
)
from service.settings import Settings

# A face is cut out at so many times the side of its network's grid at least, see `sample_crop`.
_MIN_OVERSAMPLING = 2

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class PhotoPipeline:
    """What a request in photo mode walks through.

    A photo has one cost at admission, and never more of its tiles and faces in the queue than that.
    """

    def __init__(self, room: EngineRoom, settings: Settings) -> None:
        self._room = room
        self._catalogue = ModelCatalogue(room.models)
        self._settings = settings

    @property
    def has_detector(self) -> bool:
        """Whether a face detector is loaded, without which every photo is refused."""
        return self._room.has_detector

    async def upscale(self, order: PhotoOrder, times: StageTimes) -> PhotoFile | FaceModeWanted:
        """Upscale a photo; a face that cannot be upscaled is left as the photo has it.

        Raises:
            RequestError: the parameters are wrong, or no face detector is loaded.
            ImageError: the photo cannot be read, is too large, or (unless `auto`) shows no face.
            CapacityError: overloaded, stopping, or the deadline passed.
        """
        self._room.require_detector()
        wanted = self._catalogue.requested(name=order.model, scale=order.scale)
        async with self._room.admitted(self._settings.photo_cost, deadline=order.deadline):
            image = await self._room.decode_photo(order.image, times)
            self._check_output(image, order)
            levels = self._plan_levels(image, order)
            faces = await self._find_faces(image, levels, order, times)
            if order.mode == "auto" and (note := self._why_face_mode(faces, image)):
                return FaceModeWanted(note=note)
            if not faces and order.mode == "photo":
                raise _no_face(image, levels)
            planned = plan_faces(
                faces[: self._settings.max_faces_per_photo],
                order,
                self._catalogue,
                wanted=wanted,
                max_face_px=self._settings.max_face_px,
            )
            crops = await self._cut_faces(image, planned)
            # The photo is enlarged while the engine has the faces.
            enlarging = asyncio.create_task(
                self._room.compute(lambda: enlarge_photo(image.rgb, order.factor))
            )
            try:
                finished = await self._upscale_faces(planned, crops, order, times)
                enlarged = await enlarging
            finally:
                enlarging.cancel()
            alpha = await self._paste(image, enlarged, finished, order, times)
            data = await self._room.encode(enlarged, order.media_type, alpha=alpha, times=times)
        for face in finished:
            self._room.metrics.photo_face_found(action=face.planned.action)
        fields = describe_photo(
            order,
            image,
            finished,
            num_found=len(faces),
            notes=self._notes(faces, levels, order),
            has_classifier=self._room.classifier is not None,
        )
        return PhotoFile(data=data, fields=fields)

    def _check_output(self, image: DecodedImage, order: PhotoOrder) -> None:
        width, height = image.width * order.factor, image.height * order.factor
        limit = self._settings.max_photo_output_pixels
        if width * height > limit:
            raise ImageTooLargeError(
                f"the photo is {image.width} x {image.height} px and would be {width} x {height} "
                f"px, {width * height} in all; at most {limit} are made: take a smaller factor, or "
                "scale the photo down"
            )

    def _plan_levels(self, image: DecodedImage, order: PhotoOrder) -> list[Level]:
        return plan_levels(
            image.width,
            image.height,
            min_face_px=max(order.min_face_px, MIN_LOOKED_FOR_PX),
            max_level_pixels=self._settings.max_detection_pixels,
        )

    async def _find_faces(
        self,
        image: DecodedImage,
        levels: Sequence[Level],
        order: PhotoOrder,
        times: StageTimes,
    ) -> list[PhotoFace]:
        """The faces of a photo, the largest first."""
        with self._room.timed("detect", times):
            tiles = await self._room.compute(lambda: list(cut_tiles(image.rgb, levels)))
            return await search_tiles(
                self._room, tiles, deadline=order.deadline, for_each=self._for_each
            )

    async def _cut_faces(
        self, image: DecodedImage, planned: Sequence[PlannedFace]
    ) -> list[RgbImage | None]:
        """The crops of those that are to be upscaled, all before the first is queued."""

        def cut(face: PlannedFace) -> RgbImage | None:
            return None if face.model is None else cut_face(image.rgb, face.face, face.model)

        return await self._room.compute_each(cut, planned)

    async def _upscale_faces(
        self,
        planned: Sequence[PlannedFace],
        crops: Sequence[RgbImage | None],
        order: PhotoOrder,
        times: StageTimes,
    ) -> list[FinishedFace]:
        """Upscale what is planned to be, in batches with other requests' faces."""

        async def upscale(wanted: tuple[PlannedFace, RgbImage | None]) -> FinishedFace:
            face, crop = wanted
            if face.model is None or crop is None:
                return FinishedFace(planned=face, upscaled=None)
            try:
                upscaled = await self._room.upscale(
                    crop,
                    face.model,
                    wants_readout=order.wants_readout,
                    deadline=order.deadline,
                    times=times,
                )
            except CapacityError:
                raise
            except ServiceError as error:
                return FinishedFace(planned=_given_up(face, error), upscaled=None)
            return FinishedFace(planned=face, upscaled=upscaled)

        return await self._for_each(zip(planned, crops, strict=True), upscale)

    async def _paste(
        self,
        image: DecodedImage,
        enlarged: RgbImage,
        finished: Sequence[FinishedFace],
        order: PhotoOrder,
        times: StageTimes,
    ) -> AlphaMask | None:
        """Lay the faces into the enlarged photo, in place; returns its alpha, if it has one."""

        def paste() -> AlphaMask | None:
            # The largest comes last: where two overlap it is the nearer one.
            for face in reversed(finished):
                if face.upscaled is not None:
                    paste_face(
                        enlarged,
                        face.upscaled.image.rgb,
                        face.planned.face.crop_to_photo * order.factor,
                        native_px=face.planned.face.side_px,
                        strength=order.strength,
                    )
            return None if image.alpha is None else enlarge_alpha(image.alpha, order.factor)

        with self._room.timed("paste", times):
            return await self._room.compute(paste)

    async def _for_each(
        self, items: Iterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]]
    ) -> list[ResultT]:
        """Work on all, never on more at once than the photo was admitted for.

        Raises:
            ServiceError: the first that a piece of work raised; the others are cancelled.
        """
        room_left = asyncio.Semaphore(self._settings.photo_cost)

        async def work_in_turn(item: ItemT) -> ResultT:
            async with room_left:
                return await work(item)

        tasks: list[asyncio.Task[ResultT]] = []
        failure: ServiceError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks.extend(group.create_task(work_in_turn(item)) for item in items)
        except* ServiceError as errors:
            failure = _first_of(errors)
        if failure is not None:  # raised in the block above it could come out in a group
            raise failure
        return [task.result() for task in tasks]

    def _why_face_mode(self, faces: Sequence[PhotoFace], image: DecodedImage) -> str | None:
        if not faces:
            # What is larger than a network's result would come back smaller than it came.
            largest_px = max(model.lr_size_px * model.scale for model in self._room.models)
            if max(image.width, image.height) > largest_px:
                return None
            return "no face was found; upscaled as the crop of a face"
        if faces[0].side_px > self._settings.max_face_px:
            # A network would reduce it and lose more than it adds, in either mode.
            return None
        if is_crop_of_a_face(faces[0], width=image.width, height=image.height):
            return "a face fills the image; upscaled as the crop of a face"
        return None

    def _notes(
        self, faces: Sequence[PhotoFace], levels: Sequence[Level], order: PhotoOrder
    ) -> list[str]:
        notes = []
        if not faces:
            notes.append("no face was found; the photo is enlarged by Lanczos alone")
        limit = self._settings.max_faces_per_photo
        if len(faces) > limit:
            notes.append(
                f"{len(faces)} faces were found; the {limit} largest are dealt with, the others "
                "are enlarged like the rest of the photo"
            )
        smallest_px = smallest_face_px(levels)
        if smallest_px > max(order.min_face_px, MIN_LOOKED_FOR_PX) * 1.01:
            notes.append(
                f"in a photo of this size faces whose crop is below {smallest_px:.0f} px may have "
                "been missed"
            )
        return notes


def cut_face(photo: RgbImage, face: PhotoFace, model: ServedModel) -> RgbImage:
    """Cut out a face on a grid that is a multiple of the network's, to which it is then brought."""
    finer = max(_MIN_OVERSAMPLING, math.ceil(face.side_px / model.lr_size_px))
    return sample_crop(photo, face.crop_to_photo, side_px=finer * model.lr_size_px)


def _no_face(image: DecodedImage, levels: Sequence[Level]) -> NoFaceError:
    return NoFaceError(
        f"no face was found in the photo of {image.width} x {image.height} px; faces need a crop "
        f"of about {smallest_face_px(levels):.0f} px there: send a larger photo, or a crop of the "
        "face without mode=photo"
    )


def _given_up(face: PlannedFace, error: ServiceError) -> PlannedFace:
    return PlannedFace(face=face.face, model=None, action="left-alone", reason=str(error))


def _first_of(errors: BaseExceptionGroup[ServiceError]) -> ServiceError:
    """The first error of a task group; a capacity error before others, as it concerns them all."""
    raised = [error for error in errors.exceptions if isinstance(error, ServiceError)]
    return next((error for error in raised if isinstance(error, CapacityError)), raised[0])

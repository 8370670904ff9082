"""Frames with faces somewhere in them: found, followed, upscaled and laid back."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from model_store.faces.finding import MIN_LOOKED_FOR_PX, PhotoFace
from model_store.faces.framing import CROP_PX, sample_crop, transform
from model_store.faces.pyramid import Tile, cut_tiles, plan_levels, whole_tile
from model_store.image_tensor import RgbImage
from service.catalogue import ModelCatalogue
from service.engine.base import ServedModel
from service.engine_room import EngineRoom
from service.photo.background import enlarge_photo
from service.photo.paste import paste_face
from service.photo.search import search_tiles
from service.settings import Settings
from service.video.frames import VideoOptions, upscale_face
from service.video.tracks import FaceTrack, FaceTracks, nearest

# Whole frames are searched for new faces so often; those that are known are looked for where they
# were, in every frame.
_FRAMES_BETWEEN_SEARCHES = 5
# A known face is looked for in a square of so many of its sides, shown to the detector at the size
# at which it finds faces best.
_SURROUNDINGS = 2.4
_SURROUNDINGS_PX = 128
# A face changes its network where its size has changed by more than this since: two networks in
# turn would flicker.
_OTHER_NETWORK_FROM = 1.25


class PhotoFrames:
    """Follows the faces of a clip; a `FrameUpscaler`.

    Attributes:
        output_size: width and height of the results, in px.
        tracks: of the faces.
    """

    def __init__(
        self,
        room: EngineRoom,
        settings: Settings,
        options: VideoOptions,
        *,
        width: int,
        height: int,
    ) -> None:
        """Nothing is done yet.

        Raises:
            RequestError: the options ask for a model that is not served, or no detector is loaded.
        """
        room.require_detector()
        self._room = room
        self._catalogue = ModelCatalogue(room.models)
        self._wanted = self._catalogue.requested(name=options.model, scale=options.scale)
        self._settings = settings
        self._options = options
        self.output_size = width * options.factor, height * options.factor
        self.tracks = FaceTracks()
        self._frames_to_search = 0

    @property
    def num_faces(self) -> int:
        """Faces that were seen so far; one that comes back counts again."""
        return self.tracks.num_seen

    async def upscale(self, frame: RgbImage, *, seconds: float) -> RgbImage:
        """See `FrameUpscaler`."""
        await self._follow(frame, seconds=seconds)
        if self._frames_to_search == 0:
            self._frames_to_search = _FRAMES_BETWEEN_SEARCHES
            self.tracks.add_new(await self._search(frame))
        self._frames_to_search -= 1
        self.tracks.drop_gone()
        for track in self.tracks.present:
            self._choose_model(track)
        largest_first = sorted(self.tracks.present, key=lambda t: t.side_px, reverse=True)
        shown = [t for t in largest_first if t.model is not None]
        faces = await asyncio.gather(*(self._upscale(frame, track) for track in shown))
        return await self._room.compute(lambda: self._compose(frame, shown, faces))

    async def _follow(self, frame: RgbImage, *, seconds: float) -> None:
        """Look for every known face where it was."""

        async def look(track: FaceTrack) -> PhotoFace | None:
            return nearest(track, await self._look_around(frame, track))

        tracks = self.tracks.present
        found = await asyncio.gather(*(look(track) for track in tracks))
        for track, face in zip(tracks, found, strict=True):
            if face is None:
                track.miss()
            else:
                track.follow(face.crop_to_photo, seconds=seconds)

    async def _look_around(self, frame: RgbImage, track: FaceTrack) -> list[PhotoFace]:
        height, width = frame.shape[:2]
        side = min(_SURROUNDINGS * track.side_px, width, height)
        x, y = transform(track.crop_to_frame, np.array([[0.5, 0.5]]))[0].tolist()
        left = min(max(x - side / 2, 0.0), width - side)
        top = min(max(y - side / 2, 0.0), height - side)

        def cut() -> RgbImage:
            return np.asarray(
                Image.fromarray(frame).resize(
                    (_SURROUNDINGS_PX, _SURROUNDINGS_PX),
                    Image.Resampling.BICUBIC,
                    box=(left, top, left + side, top + side),
                )
            )

        tile = whole_tile(await self._room.compute(cut), scale=_SURROUNDINGS_PX / side)
        return [_moved(face, left, top) for face in await self._find([tile])]

    async def _search(self, frame: RgbImage) -> list[PhotoFace]:
        """All faces of a frame, the largest first."""
        height, width = frame.shape[:2]
        levels = plan_levels(
            width,
            height,
            min_face_px=MIN_LOOKED_FOR_PX,
            max_level_pixels=self._settings.max_detection_pixels,
        )
        tiles = await self._room.compute(lambda: list(cut_tiles(frame, levels)))
        room_left = self._settings.max_faces_per_photo - len(self.tracks.present)
        return (await self._find(tiles))[: max(0, room_left)]

    async def _find(self, tiles: Sequence[Tile]) -> list[PhotoFace]:
        return await search_tiles(self._room, tiles, deadline=math.inf)

    def _choose_model(self, track: FaceTrack) -> None:
        """The network for a face's size; it keeps its own until its size is clearly another."""
        smaller, larger = (
            self._model_for(track.side_px * change)
            for change in (1 / _OTHER_NETWORK_FROM, _OTHER_NETWORK_FROM)
        )
        if track.is_new:
            track.model = self._model_for(track.side_px)
            track.is_new = False
        elif smaller is larger:
            track.model = smaller

    def _model_for(self, side_px: float) -> ServedModel | None:
        """None where a face is larger than what a network makes."""
        if side_px > self._settings.max_face_px:
            return None
        return self._wanted or self._catalogue.for_size(round(side_px), round(side_px))

    async def _upscale(self, frame: RgbImage, track: FaceTrack) -> RgbImage | None:
        """None where the network failed: the face is left as the frame has it."""
        model = track.model
        if model is None:
            return None
        crop = await self._room.compute(
            lambda: sample_crop(frame, track.crop_to_frame, side_px=CROP_PX)
        )
        result = await upscale_face(self._room, crop, model)
        if result is None:
            return None
        return await self._room.compute(lambda: track.detail.update(crop, result))

    def _compose(
        self, frame: RgbImage, tracks: Sequence[FaceTrack], faces: Sequence[RgbImage | None]
    ) -> RgbImage:
        factor = self._options.factor
        enlarged = enlarge_photo(frame, factor)
        # The largest comes last: where two overlap it is the nearer one.
        for track, face in reversed(list(zip(tracks, faces, strict=True))):
            if face is not None:
                paste_face(
                    enlarged,
                    face,
                    track.crop_to_frame * factor,
                    native_px=track.side_px,
                    strength=self._options.strength * track.presence,
                )
        return enlarged


def _moved(face: PhotoFace, x: float, y: float) -> PhotoFace:
    """A face of a part of a frame, in px of the frame."""
    left, top, width, height = face.box
    matrix = face.crop_to_photo.copy()
    matrix[:, 2] += (x, y)
    return PhotoFace(
        box=(left + x, top + y, width, height),
        crop_to_photo=matrix,
        confidence=face.confidence,
        score=face.score,
    )

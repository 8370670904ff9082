"""The search for faces, its tiles and crops in batches with those of other requests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Protocol, TypeVar

from model_store.faces.detector import Judgement
from model_store.faces.finding import Candidate, FaceSearch, PhotoFace, candidates_of_tile
from model_store.faces.pyramid import Tile
from model_store.image_tensor import RgbImage
from service.engine_room import EngineRoom, StageTimes

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class ForEach(Protocol):
    """Works on all items, on as many at once as may be; results come in order."""

    async def __call__(
        self, items: Iterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], /
    ) -> list[ResultT]: ...


async def all_at_once(
    items: Iterable[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], /
) -> list[ResultT]:
    """A `ForEach` without a bound."""
    return await asyncio.gather(*map(work, items))


async def search_tiles(
    room: EngineRoom,
    tiles: Sequence[Tile],
    *,
    deadline: float,
    for_each: ForEach = all_at_once,
) -> list[PhotoFace]:
    """Find the faces that tiles of one photo show, the largest first.

    Raises:
        ServiceError: see `DynamicBatcher.submit`.
    """

    async def propose(tile: Tile) -> list[Candidate]:
        found = await room.propose_faces(tile.pixels, deadline=deadline, times=StageTimes())
        return candidates_of_tile(tile, found.proposals)

    async def judge(crop: RgbImage) -> Judgement:
        return await room.judge_face(crop, deadline=deadline, times=StageTimes())

    # All levels at once: small tiles share batches.
    search = FaceSearch(chain.from_iterable(await for_each(tiles, propose)))
    while wanted := search.wanted:
        crops = await room.compute_each(Candidate.cut, wanted)
        search.tell(await for_each(crops, judge))
    return search.faces()

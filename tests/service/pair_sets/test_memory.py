import pytest

from service.errors import UnknownSetError
from service.pair_sets import MemoryPairSets, SetLimits
from tests.fakes import ManualClock
from tests.service.pair_sets.pairs import pairs

pytestmark = pytest.mark.anyio


async def test_set_is_forgotten_when_nothing_was_added_for_its_time(clock: ManualClock) -> None:
    store = MemoryPairSets(SetLimits(max_sets=1, ttl_seconds=60), clock=clock)
    await store.add("owner", "nightly", pairs(1))
    clock.advance(59)
    await store.add("owner", "nightly", pairs(1))
    clock.advance(59)
    assert (await store.get("owner", "nightly")).sums.n == 2
    clock.advance(1)
    with pytest.raises(UnknownSetError):
        await store.get("owner", "nightly")
    await store.add("owner", "another", pairs(1))  # its place is free

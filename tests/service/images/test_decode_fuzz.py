"""A sound file of any kind, broken in any way, is refused or decoded, and costs no time."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ImageError
from service.images import DecodedImage, decode_image
from tests.service.images.test_golden import LIMITS, SOURCES

FILES = [path.read_bytes() for path in SOURCES]
# Ten times what a whole file of 1024 px takes.
MAX_CPU_SECONDS = 0.5

# Places as shares of the file, so that one means something in each.
PLACES = st.floats(0, 1, exclude_max=True)
# The lengths and counts that parsers trip over, and anything.
BYTES = st.sampled_from([b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0"])
PIECES = BYTES | st.binary(min_size=1, max_size=16)

Mutation = Callable[[bytes], bytes]


def overwrites(place: float, piece: bytes) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + piece + data[at + len(piece) :]

    return mutate


def inserts(place: float, piece: bytes) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + piece + data[at:]

    return mutate


def removes(place: float, length: int) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + data[at + length :]

    return mutate


def repeats(place: float, length: int, times: int) -> Mutation:
    def mutate(data: bytes) -> bytes:
        at = int(place * len(data))
        return data[:at] + data[at : at + length] * times + data[at + length :]

    return mutate


def splices(place: float, other: bytes) -> Mutation:
    """The first part of this file, the last of another one."""

    def mutate(data: bytes) -> bytes:
        return data[: int(place * len(data))] + other[int(place * len(other)) :]

    return mutate


MUTATIONS = st.one_of(
    st.builds(overwrites, PLACES, PIECES),
    st.builds(inserts, PLACES, PIECES),
    st.builds(removes, PLACES, st.integers(1, 64)),
    st.builds(repeats, PLACES, st.integers(1, 200), st.integers(2, 50)),
    st.builds(splices, PLACES, st.sampled_from(FILES)),
)


@given(
    st.sampled_from(FILES),
    # The head decides what a decoder does with the rest; half of the mutations are made there.
    st.lists(MUTATIONS, max_size=3),
    st.lists(st.builds(overwrites, st.floats(0, 0.1), PIECES), max_size=2),
)
@settings(max_examples=400, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_mutated_file_is_decoded_or_refused_at_little_cost(
    data: bytes, mutations: list[Mutation], of_the_head: list[Mutation]
) -> None:
    for mutate in [*mutations, *of_the_head]:
        data = mutate(data)
    started_at = time.thread_time()
    try:
        decoded: DecodedImage | None = decode_image(data, LIMITS)
    except ImageError as error:
        decoded = None
        assert str(error)
    assert time.thread_time() - started_at < MAX_CPU_SECONDS
    if decoded is not None:
        assert max(decoded.width, decoded.height) <= LIMITS.max_image_side_px
        assert decoded.alpha is None or decoded.alpha.shape == decoded.rgb.shape[:2]

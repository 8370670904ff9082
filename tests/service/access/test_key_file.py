import os
from pathlib import Path

import pytest

from service.access import ApiKeys, KeyFileError, parse_keys
from tests.fakes import ManualClock
from tests.service.access.keys import key_line

pytestmark = pytest.mark.anyio

ANNA, BEN = "annas-secret", "bens-secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(key_line("anna", ANNA))
    return path


@pytest.fixture
def keys(path: Path, clock: ManualClock) -> ApiKeys:
    return ApiKeys(path, clock=clock)


async def name_of(keys: ApiKeys, key: str) -> str | None:
    found = await keys.find(key.encode())
    return None if found is None else found.name


def replace(path: Path, text: str) -> None:
    """As a deployment does it: whole, by another file."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_lines_have_a_name_a_digest_and_perhaps_a_limit() -> None:
    # The digest of "abc" from FIPS 180-2, appendix B.1.
    abc = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
    first, second = parse_keys(f"# who\n\nanna  {abc}\t60 # phone\r\n{key_line('b.2_c-d', BEN)}")
    assert (first.name, first.digest.hex(), first.requests_per_minute) == ("anna", abc.lower(), 60)
    assert (second.name, second.requests_per_minute) == ("b.2_c-d", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it has no key"),
        ("# nothing\n", "it has no key"),
        ("anna\n", "line 1 has 1 words; it needs a name, a SHA-256"),
        (key_line("anna", ANNA, 1).strip() + " more", "line 1 has 4 words"),
        (f"anna {ANNA}", "second word of line 1 is not the SHA-256 of a key in 64 hex digits"),
        (key_line("-anna", ANNA), "the name in line 1 is not of the form"),
        (key_line("a" * 65, ANNA), "the name in line 1 is not of the form"),
        (key_line("anna", ANNA, 0), "the limit in line 1 is not a whole number"),
        (key_line("anna", ANNA, -5), "the limit in line 1 is not a whole number"),
        (key_line("anna", ANNA) + key_line("ben", ANNA), "line 2 has a digest that stands above"),
        (key_line("anna", ANNA, 5) + key_line("anna", BEN), "line 2 gives its name another limit"),
    ],
)
def test_wrong_lines_are_named_and_not_quoted(text: str, says: str) -> None:
    with pytest.raises(KeyFileError) as info:
        parse_keys(text)
    assert says in str(info.value)
    assert ANNA not in str(info.value)
    assert key_line("x", ANNA).split()[1] not in str(info.value)


async def test_keys_are_found_by_their_digest_whatever_their_place(
    path: Path, clock: ManualClock
) -> None:
    path.write_text(key_line("anna", ANNA) + key_line("ben", BEN))
    keys = ApiKeys(path, clock=clock)
    assert await name_of(keys, ANNA) == "anna"
    assert await name_of(keys, BEN) == "ben"
    assert await name_of(keys, key_line("anna", ANNA).split()[1]) is None
    assert await name_of(keys, "") is None


async def test_new_file_counts_within_a_second_and_old_keys_are_withdrawn(
    path: Path, keys: ApiKeys, clock: ManualClock
) -> None:
    replace(path, key_line("ben", BEN))
    clock.advance(0.99)
    assert await name_of(keys, ANNA) == "anna"
    clock.advance(0.01)
    assert await name_of(keys, ANNA) is None
    assert await name_of(keys, BEN) == "ben"


async def test_key_is_rotated_without_a_gap_by_two_keys_of_one_name(
    path: Path, keys: ApiKeys, clock: ManualClock
) -> None:
    replace(path, key_line("anna", ANNA) + key_line("anna", BEN))
    clock.advance(1)
    assert [await name_of(keys, key) for key in (ANNA, BEN)] == ["anna", "anna"]


async def test_file_that_is_swapped_behind_a_link_is_noticed(
    tmp_path: Path, clock: ManualClock
) -> None:
    # Kubernetes changes a Secret like this; sizes and times may be equal.
    for name, key in (("a", ANNA), ("b", BEN)):
        (tmp_path / name).write_text(key_line(name, key))
        os.utime(tmp_path / name, (1, 1))
    link = tmp_path / "link"
    link.symlink_to("a")
    keys = ApiKeys(link, clock=clock)
    (tmp_path / "next").symlink_to("b")
    (tmp_path / "next").rename(link)
    clock.advance(1)
    assert await name_of(keys, BEN) == "b"


@pytest.mark.parametrize("broken", ["", f"ben {BEN}\n", "k\u00e4se\n", "#" * (2**20 + 1)])
async def test_broken_new_file_keeps_the_old_keys_and_is_told_once_without_a_key(
    broken: str, path: Path, keys: ApiKeys, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    replace(path, broken)
    for _ in range(3):
        clock.advance(1)
        assert await name_of(keys, ANNA) == "anna"
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "the old keys stay in force" in record.getMessage()
    assert BEN not in caplog.text
    replace(path, key_line("ben", BEN))
    clock.advance(1)
    assert await name_of(keys, BEN) == "ben"


async def test_file_that_vanishes_keeps_the_old_keys(
    path: Path, keys: ApiKeys, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    path.unlink()
    for _ in range(3):
        clock.advance(1)
        assert await name_of(keys, ANNA) == "anna"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No such file or directory" in caplog.text


def test_missing_file_is_an_error_at_the_start(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(KeyFileError, match="No such file or directory"):
        ApiKeys(tmp_path / "none", clock=clock)

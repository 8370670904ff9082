"""The batcher's tests run in virtual time: a sleep costs nothing and nothing depends on luck."""

from collections.abc import Mapping

import pytest

from tests.virtual_time import VIRTUAL_BACKEND


@pytest.fixture
def anyio_backend() -> tuple[str, Mapping[str, object]]:
    return VIRTUAL_BACKEND

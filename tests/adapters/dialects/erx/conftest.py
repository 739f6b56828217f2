"""The adapter of the hospital that speaks the national e-prescription interface, and its codes."""

import pytest

from adapters import registry
from adapters.dialects import erx
from adapters.mapping import CodeMap, read_tables
from tests.support.erx import SECRETS, SLUG
from tests.support.erx_messages import FOLDER
from tests.support.fakes import Replay


@pytest.fixture(scope="module")
def adapter() -> erx.Adapter:
    loaded = registry.load("hospitals", SLUG, Replay(), SECRETS)
    assert isinstance(loaded, erx.Adapter)
    return loaded


@pytest.fixture(scope="module")
def codes() -> CodeMap:
    return read_tables(FOLDER)

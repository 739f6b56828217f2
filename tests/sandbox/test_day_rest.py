"""When a simulated day counts as over."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sandbox.chain import SELLERS
from sandbox.city import SandboxCity
from sandbox.day import at_rest
from sandbox.plan import Plan


class _Ended:
    """A city in which every prescription has ended."""

    def __init__(self, answer: int | None, read: int = 1) -> None:
        self._answer, self._read = answer, read

    def prescriptions(self) -> list[dict[str, Any]]:
        return []

    def ops(self, name: str) -> dict[str, int]:
        assert name == "board"
        return {"outbox_waiting": 0, "uploads_waiting": 0, "undrawn": 0}

    def count_runs(self, kind: str) -> int:
        return 0

    def book(self, seller: str) -> dict[str, Any]:
        assert seller in SELLERS
        if seller == "ankang":
            return {"webhooks": {"taken": [{"id": "evt_1"}], "read": ["evt_1"][:self._read]}}
        return {"callbacks": [{"answer": self._answer}], "broken": []} if seller == "huakang" else {}


@pytest.mark.parametrize(("answer", "rest"), [(None, False), (200, True), (422, True)])
def test_a_day_is_not_over_while_a_file_of_a_chain_waits_to_be_taken(answer, rest):
    nothing = cast(Plan, SimpleNamespace(prescriptions=()))
    assert at_rest(cast(SandboxCity, _Ended(answer)), nothing) is rest


@pytest.mark.parametrize(("read", "rest"), [(0, False), (1, True)])
def test_a_day_is_not_over_while_a_chain_has_webhooks_to_read_again(read, rest):
    nothing = cast(Plan, SimpleNamespace(prescriptions=()))
    assert at_rest(cast(SandboxCity, _Ended(200, read)), nothing) is rest

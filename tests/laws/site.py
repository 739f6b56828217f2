"""Where worlds stand, one after the other: files, one engine, and Prefect left out."""

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import canary, dispatcher, operations
from infra import topology
from infra.db import Database
from tasks.line import hops
from tests.laws.transactions import Place
from tests.laws.world import World
from tests.support.city import SimulatedCrash, make_city


class _Batch:
    """Stands for `batch_of_prescriptions`: the same hops, and nobody to show them to."""

    def __init__(self, site: "Site") -> None:
        self._site = site

    def with_options(self, **_: object) -> Callable[..., Any]:
        async def run(ids: Sequence[str], **_: object) -> None:
            await hops(self._site.world.city, ids)

        return run


class _Silence:
    def info(self, *_: object) -> None: ...


def _tell(what: threading.ExceptHookArgs) -> None:
    """A thread that dies with its process says nothing."""
    if what.exc_type is not SimulatedCrash:
        threading.__excepthook__(what)


class _InARun:
    """Stands for `FlowRunContext`."""

    @staticmethod
    def get() -> SimpleNamespace:
        return SimpleNamespace(flow_run=SimpleNamespace(id="run"))


async def _nothing(*_: object) -> set[str]:
    return set()


class Site:
    """A place for one world after the other, each on a fresh copy of a migrated database.

    One engine serves them all: what costs most is spelling the same SQL again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built = make_city(folder)
        self.built.db.close()
        url = f"sqlite:///{folder / 'world.db'}"
        self.db = Database(url, boundary=lambda name, when: self.world.power(name, when))
        self.watch = Database(url)

    @contextmanager
    def without_prefect(self) -> Iterator["Site"]:
        """The flows work for the present world, and tell nobody."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dispatcher, "batch_of_prescriptions", _Batch(self))
            patch.setattr(operations, "get_settings", lambda: self.world.settings)
            for module in (operations, canary):
                patch.setattr(module, "city", lambda: self.world.city)
                patch.setattr(module, "get_run_logger", _Silence)
            patch.setattr(canary, "FlowRunContext", _InARun)
            patch.setattr(canary, "get_client", nullcontext)
            patch.setattr(canary, "round_trip", _nothing)
            patch.setattr(canary, "_unseen", _nothing)
            patch.setattr(canary, "emit_event", lambda *_, **__: None)
            patch.setattr(topology, "BEAT_SECONDS", 0.01)
            patch.setattr(threading, "excepthook", _tell)
            yield self

    def fresh(self, fails_at: Place | None = None, passing: int = 1) -> World:
        for database in (self.db, self.watch):
            database.close()
        for left in self.folder.glob("world.db*"):
            left.unlink()
        shutil.copy(self.folder / "sanyi.db", self.folder / "world.db")
        self.world = World(self, fails_at, passing)
        return self.world

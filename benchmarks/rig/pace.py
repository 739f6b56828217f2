"""How much CPU time the same instructions cost while something is measured: a shared machine is at times twice as slow.

A thread of the benchmark repeats the same small piece of work, in a few per cent of one core, and measures its CPU time.
Sleeping cores, cold caches and neighbours on the host slow it down as much as the measured work. So CPU-ms divided
by its cost can be compared between two moments, and between 1 and 4 processes.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import sqlalchemy as sa

from infra.db.rows import HopRow, PrescriptionRow
from tests.support.city import bundle

EVERY = 0.15
"""Seconds between two pieces of work."""


@dataclass
class Pace:
    """CPU-ms of the piece of work, each time it was done."""

    pieces: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return sum(self.pieces) / len(self.pieces)


@contextmanager
def pace() -> Iterator[Pace]:
    """What the piece of work costs during the block; at least one is done."""
    kept, over = Pace(), threading.Event()

    def work() -> None:
        message, engine = bundle(1), sa.create_engine("sqlite://")
        while not kept.pieces or not over.wait(EVERY):
            begin = time.thread_time()
            json.dumps(json.loads(message), sort_keys=True)
            for _ in range(4):
                sa.select(PrescriptionRow).join(HopRow, HopRow.prescription_id == PrescriptionRow.id).compile(engine)
            kept.pieces.append(1000 * (time.thread_time() - begin))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    yield kept
    over.set()
    worker.join()

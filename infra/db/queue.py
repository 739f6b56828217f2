"""What is due and how many workers there are for it: no worker leases more than its share while others have nothing to do."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.db.engine import run, table
from infra.db.precompiled import Precompiled
from infra.db.processes import GONE
from infra.db.rows import PrescriptionRow, ProcessRow


@dataclass(frozen=True)
class Queue:
    """What is due, as one worker sees it."""

    due: int
    """Not leased. Counted up to a full batch for each worker: a higher count changes no decision."""
    workers: int
    """Alive, the one who looks among them."""
    leased: int = 0
    """Due still, and leased; 0 where it decides nothing."""
    own: int = 0
    """Of these, the looking worker's own."""


def portion(queue: Queue, room: int, slow: int = 0) -> int:
    """How many of the due rows a worker with this room may lease; its `slow` ones only wait for a partner.

    If there is enough for all, full batches are leased. Otherwise what is due or under way is divided by the number of
    workers. A worker that has its share leaves the rest. A share is at least a quarter of the room, because a batch
    costs Prefect the same at any size. The worker with the least may always take something, so nothing due lies idle.
    """
    if queue.workers <= 1 or queue.due >= queue.workers * room:
        return min(queue.due, room)
    own, all_of_it = max(0, queue.own - slow), queue.due + queue.leased - min(slow, queue.own)
    share = max(-(-room // 4), -(-all_of_it // queue.workers))
    return max(0, min(queue.due, room, share - own))


_ROW, _PROCESS = table(PrescriptionRow).c, table(ProcessRow).c
_DUE = _ROW.wake_at <= sa.bindparam("at")
_FREE = sa.or_(_ROW.lease_until.is_(None), _ROW.lease_until < sa.bindparam("at"))
_WORKERS = sa.select(sa.func.count()).where(
    _PROCESS.kind == sa.bindparam("kind"), _PROCESS.seen_at > sa.bindparam("heard_since"), _PROCESS.name != sa.bindparam("worker"))
_FREE_ONES = sa.select(sa.literal(1)).where(_DUE, _FREE).limit(sa.bindparam("room") * (1 + _WORKERS.scalar_subquery()))
_LOOK = Precompiled(sa.select(
    sa.select(sa.func.count()).select_from(_FREE_ONES.subquery()).scalar_subquery(), _WORKERS.scalar_subquery()))
_OWN = sa.func.substr(_ROW.lease_owner, 1, sa.func.length(sa.bindparam("mine"))) == sa.bindparam("mine")
_SHARED = Precompiled(sa.select(
    sa.func.count().filter(_FREE), sa.func.count().filter(~_FREE), sa.func.count().filter(~_FREE, _OWN)).where(_DUE))



def look(session: Session, worker: str, *, kind: str, at: datetime, room: int) -> Queue:
    """The queue as `worker` sees it, whose leases are owned by `worker/…`; `kind` is what workers are in the list of processes."""
    due, others = run(session, _LOOK, {"at": at, "heard_since": at - GONE, "kind": kind, "worker": worker, "room": room}).only()
    if not others or not 0 < due < (1 + others) * room:
        return Queue(due, 1 + others)
    # All three of one moment: who was counted as due and then as leased would make everybody's share too large.
    due, leased, own = run(session, _SHARED, {"at": at, "mine": f"{worker}/"}).only()
    return Queue(due, 1 + others, leased, own)

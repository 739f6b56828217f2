"""What Prefect should show of prescriptions, and what it shows by now; the drawing itself is `flows.window`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.window import RunState, RunType, Stage, stages, state, undrawn
from infra.db import drawings, prescriptions, views
from infra.db.drawings import Drawing, Subject
from infra.log import get_logger
from tasks.city import City

log = get_logger(__name__)

TAG = "prescription"
"""On every prescription's own run, and on no other."""
FLOW = "prescription"
"""Of a prescription's own run, and of those made by hand."""
AT_ONCE = 50
"""Prescriptions in one pass: what happens meanwhile waits for the next. Prefect makes at most 100 runs in one call."""
SHOWN_RED = 20
"""Prescriptions shown red for one cause, the oldest: more of them are one concern, and the board counts it."""
RETENTION = timedelta(days=21)
"""How long Prefect keeps a run (infra/deploy/prefect-server.env): what came in before and is over is not drawn in a new one."""
QUEUE = timedelta(seconds=2)
"""What has been due for so long waits for a worker."""
PART = 1000
"""Prescriptions that are set back at once."""
TURN = timedelta(seconds=60)
"""How long the one who draws may be silent before another worker draws."""
FORGETFUL = timedelta(seconds=120)
"""What was said so shortly before Prefect went away may have been only in its memory."""


@dataclass(frozen=True)
class Picture:
    """One prescription: what Prefect should show of it, and what it shows."""

    subject: Subject
    state: RunState
    need: str
    """Code of why it is red; empty when it is not."""
    stages: Sequence[Stage]
    drawing: Drawing | None
    """None if no run was ever asked for."""

    @property
    def id(self) -> str:
        return self.subject.id

    @property
    def tags(self) -> list[str]:
        """Of its run."""
        return tags(self.subject.hospital, self.subject.chain)

    @property
    def missing(self) -> Sequence[Stage]:
        """The stages that are not drawn as they are."""
        if self.drawing is None:
            return self.stages
        return undrawn(self.stages, self.drawing.ended, self.drawing.open)

    def over_since(self, moment: datetime) -> bool:
        """Whether it had ended, and nothing happened to it any more, before that moment."""
        return self.state.type in (RunType.COMPLETED, RunType.CANCELLED) and self.subject.moves[-1].at < moment

    @property
    def turns_red(self) -> bool:
        """Whether its run does not show this need yet."""
        return bool(self.need) and not (self.drawing and self.drawing.run_id and self.drawing.need == self.need)

    def drawn(self, run_id: str, at: datetime) -> Drawing:
        """How it is written down when all of it is drawn."""
        ended = sum(1 for stage in self.stages if stage.end)
        return Drawing(self.id, run_id, spelled(self.state), self.subject.chain, ended, ended < len(self.stages), self.need, at)


def key_of(prescription_id: str) -> str:
    """By which Prefect knows a prescription's own run."""
    return f"prescription:{prescription_id}"


def tags(hospital: str, chain: str) -> list[str]:
    """The tags of a prescription's own run."""
    return [TAG, f"hospital:{hospital}", *([f"chain:{chain}"] if chain else [])]


def spelled(shown: RunState) -> str:
    """A state as one text, to be compared."""
    return f"{shown.type} {shown.name}: {shown.message}"[:400]


def our_turn(city: City, owner: str, flow_id: str) -> bool:
    """Whether we draw now. In a Prefect that knows another flow than the one drawn in last, all is drawn from the beginning."""
    while True:
        with city.db.transaction("window.turn") as session:
            last = drawings.take_turn(session, owner, city.now(), TURN)
            # In parts: a writer of one of them waits for one part at most.
            if last in (None, flow_id) or not drawings.begin_anew(session, flow_id, city.now() - RETENTION, PART):
                return last is not None


def work_goes_first(city: City, lag: timedelta, each: timedelta = timedelta()) -> bool:
    """Whether prescriptions wait for a worker, and what is to be drawn can wait still (`drawings.can_wait`)."""
    now = city.now()
    with city.db.reading() as session:
        return prescriptions.anybody_waits(session, now - QUEUE) and drawings.can_wait(session, now, lag, each)


def work_goes_on(city: City, lag: timedelta, each: timedelta = timedelta()) -> bool:
    """Whether workers have what was due some time ago, and what is to be drawn can wait still."""
    now = city.now()
    with city.db.reading() as session:
        return prescriptions.anybody_is_due(session, now - QUEUE) and drawings.can_wait(session, now, lag, each)


def to_draw(city: City, gateway_url: str, limit: int = AT_ONCE) -> list[Picture]:
    """The next prescriptions of which Prefect shows something else than there is: something happened, or a clock ran out.

    Those whose history cannot be read are left out.
    """
    with city.db.reading() as session:
        needing, red = views.needing_people(session, city.now(), city.policy, SHOWN_RED), drawings.red(session)
        turned = [number for number in {**red, **needing}
                  if red.get(number, "") != needing.get(number, "") and red.get(number) not in drawings.PASSED_OVER]
        ids = list(dict.fromkeys([*turned, *drawings.undrawn(session, limit)]))[:limit]
        readable, unreadable = drawings.subjects(session, ids)
        pictures = pictures_of(readable, drawings.drawings(session, ids), needing, gateway_url)
    pass_over(city, unreadable, drawings.UNREADABLE)
    return pictures


def pictures_of(subjects: Iterable[Subject], drawn: Mapping[str, Drawing], needing: Mapping[str, str],
                gateway_url: str) -> list[Picture]:
    """Each prescription beside what is drawn of it."""
    made = []
    for subject in subjects:
        need = needing.get(subject.id, "")
        shown = state(subject.status, views.need_words(need) if need else None, f"{gateway_url}/rx/{subject.id}",
                      subject.waiting_for)
        if shown.type is not RunType.FAILED:
            need = ""
        made.append(Picture(subject, shown, need, stages(subject.moves, subject.arrived), drawn.get(subject.id)))
    return made


def intend(city: City, ids: Sequence[str]) -> None:
    """Note that runs are about to be made."""
    with city.db.transaction("window.intended") as session:
        drawings.intend(session, ids, city.now())


def save(city: City, done: Sequence[Drawing], versions: Mapping[str, int], was: Mapping[str, str]) -> None:
    """Write down what is drawn, unless its run was moved since its state `was` read."""
    with city.db.transaction("window.drawn") as session:
        drawings.save(session, done, versions, was)


def pass_over(city: City, versions: Mapping[str, int], why: str) -> None:
    """What cannot be drawn is not tried again before something happens to it, so that the others are drawn. `why` is one of
    `drawings.PASSED_OVER`."""
    if not versions:
        return
    for number in versions:
        log.error("window.passed_over", prescription=number, code=why)
    intend(city, list(versions))
    with city.db.reading() as session:
        drawn = drawings.drawings(session, versions)
    save(city, [replace(drawing, need=why, at=city.now()) for drawing in drawn.values()], versions,
         {drawing.prescription_id: drawing.state for drawing in drawn.values()})


def draw_again(city: City, ids: Sequence[str]) -> None:
    """Have the runs of those drawn anew, also where they show what there is."""
    with city.db.transaction("window.again") as session:
        drawings.draw_again(session, ids, city.now())


def red(city: City) -> list[Drawing]:
    """What is drawn red, each with a run."""
    with city.db.reading() as session:
        red = [number for number, need in drawings.red(session).items() if need not in drawings.PASSED_OVER]
        drawn = drawings.drawings(session, red)
    return [drawing for drawing in drawn.values() if drawing.run_id and drawing.state]


def refused(city: City) -> list[str]:
    """What Prefect made no run of, so many that they can be tried again at once."""
    with city.db.reading() as session:
        return [number for number, need in drawings.red(session).items() if need == drawings.NOT_TAKEN][:PART]


def rest(city: City) -> None:
    """Nothing is to be drawn any more, until a process takes a turn."""
    with city.db.transaction("window.rest") as session:
        drawings.leave(session)


def prefect_forgot(city: City, since: datetime) -> int:
    """Prefect was away: what it was told shortly before it went is told again. How many prescriptions that concerns."""
    with city.db.transaction("window.forgotten") as session:
        return drawings.lost_since(session, since - FORGETFUL)


def backlog(city: City) -> int:
    with city.db.reading() as session:
        return drawings.backlog(session)


def own_run(city: City, prescription_id: str) -> str:
    """Id of a prescription's own run in Prefect; empty while there is none."""
    with city.db.reading() as session:
        drawing = drawings.drawing(session, prescription_id)
    return drawing.run_id if drawing else ""


def gone(drawing: Drawing) -> Drawing:
    """A run that Prefect does not have any more: it is made anew."""
    return replace(drawing, run_id="", state="", ended=0, open=False, chain="")

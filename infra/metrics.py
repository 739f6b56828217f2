"""What Prometheus may know of us: counts, ages and latencies under bounded labels; never an id, never a person.

A process counts what it does itself; what the database knows is measured at each scrape (`FromDatabase`).
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Generic, TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from infra.db.figures import Figures
from infra.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")

CONTENT_TYPE = CONTENT_TYPE_LATEST
FIGURES_SECONDS = 5.0
"""How old the database's figures may be: two scrapers cost as much as one."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WORD = re.compile(r"[a-z][a-z-]{0,23}|v[0-9]{1,2}")
"""A part of a path that is a word of the interface; any other part may be an id."""

HOPS = Counter("sanyi_hops", "Hops that ended, by the stage they began in, where they ended and what failed.",
               ["stage", "end", "error"])
HOP_SECONDS = Histogram("sanyi_hop_seconds", "How long a hop took, by the stage it began in.", ["stage"],
                        buckets=_SECONDS)
PARTNER_CALLS = Counter("sanyi_partner_calls", "Requests to a partner, every attempt, and what became of them.",
                        ["partner", "operation", "outcome"])
PARTNER_SECONDS = Histogram("sanyi_partner_call_seconds", "How long a partner took to answer, or we to give up.",
                            ["partner", "operation"], buckets=_SECONDS)
QUOTES_LEFT_OUT = Counter("sanyi_quotes_left_out", "Stores whose quote broke the contract and was left out, by chain.", ["chain"])
BREAKER = Gauge("sanyi_breaker", "1 for the state a partner's circuit breaker is in, in this process.",
                ["partner", "state"])
ANSWERS = Counter("sanyi_gateway_answers", "Answers of the gateway by door and HTTP status.", ["door", "status"])
ANSWER_SECONDS = Histogram("sanyi_gateway_answer_seconds", "How long the gateway took to answer, by door.", ["door"],
                           buckets=_SECONDS)


DRAWN = Counter("sanyi_window_drawn", "Prescriptions drawn in Prefect, each time something of one was.")
WINDOW_LAG = Gauge("sanyi_window_lag_seconds", "How long the longest waiting change of the last pass had waited to be drawn first.")


def drawn(prescriptions: int, lag_seconds: float) -> None:
    """One pass of the window is over."""
    DRAWN.inc(prescriptions)
    WINDOW_LAG.set(lag_seconds)


def hop_ended(stage: str, end: str, error: str, seconds: float) -> None:
    """One prescription's hop is over. `error` is `Transient:busy` and the like; empty when it went well."""
    HOPS.labels(stage, end, _error_class(error)).inc()
    HOP_SECONDS.labels(stage).observe(seconds)


def partner_called(partner: str, operation: str, outcome: str, seconds: float) -> None:
    """One attempt at one request is over."""
    PARTNER_CALLS.labels(partner, operation, outcome).inc()
    PARTNER_SECONDS.labels(partner, operation).observe(seconds)


def partner_spared(partner: str, operation: str) -> None:
    """A request was not even tried: the breaker is open, or too many are waiting."""
    PARTNER_CALLS.labels(partner, operation, "held_back").inc()


def quote_left_out(chain: str) -> None:
    """One store's quote broke the contract; the others count."""
    QUOTES_LEFT_OUT.labels(chain).inc()


def breaker_of(partner: str, states: Sequence[str], state: Callable[[], str]) -> None:
    """Have the state of a partner's breaker read at every scrape; the newest one of a partner counts."""
    for word in states:
        BREAKER.labels(partner, word).set_function(lambda word=word: state() == word)  # type: ignore[misc]


def answered(door: str, status: int, seconds: float) -> None:
    """The gateway has answered."""
    ANSWERS.labels(door, str(status)).inc()
    ANSWER_SECONDS.labels(door).observe(seconds)


def operation_of(method: str, path: str) -> str:
    """A request as something to count by: `POST /v1/orders/{id}`."""
    parts = path.partition("?")[0].split("/")[:8]
    return f"{method} " + "/".join(part if not part or _WORD.fullmatch(part) else "{id}" for part in parts)


def page(*more: Collector) -> bytes:
    """Everything this process counts, and what else it is given, in Prometheus' text format."""
    return b"".join(generate_latest(registry) for registry in (REGISTRY, *map(_alone, more)))


def serve(port: int, host: str) -> None:
    """A metrics endpoint for a process without a gateway, in a thread that ends with it. 0: none.

    A process without metrics can still work: a port that is taken is logged, not raised.
    """
    if not port:
        return
    try:
        start_http_server(port, host)
    except OSError as error:
        log.error("metrics.no_page", port=port, error=error.strerror)


class Kept(Generic[T]):
    """An answer kept for some seconds; callers in that time get the same one."""

    def __init__(self, read: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._answer: tuple[float, T] | None = None

    def __call__(self) -> T:
        """Raises what `read` raises, and `TimeoutError` when another thread has been reading for too long."""
        if not self._lock.acquire(timeout=self._seconds):
            raise TimeoutError("somebody is still reading")
        try:
            if self._answer is None or self._clock() - self._answer[0] > self._seconds:
                self._answer = (self._clock(), self._read())
            return self._answer[1]
        finally:
            self._lock.release()


class FromDatabase(Collector):
    """The figures of the queue, as gauges. Without a database it says only that."""

    def __init__(self, read: Callable[[], Figures | None]) -> None:
        """`read` gives None when the database does not answer."""
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = self._read()
        yield _gauge("sanyi_database_up", "1 if the database answered the last time it was asked.",
                     figures is not None)
        if figures is None:
            return
        yield _by("sanyi_prescriptions", "Prescriptions that have not ended, by status.", "status",
                  figures.prescriptions)
        yield _by("sanyi_prescriptions_in_trouble", "Prescriptions whose last attempt failed, by class of the error.",
                  "error", _summed(figures.troubles))
        yield _by("sanyi_queue_due", "Prescriptions that are due and nobody works on, by lane.", "lane",
                  {lane: count for lane, (count, _) in figures.due.items()})
        yield _by("sanyi_queue_oldest_seconds", "How long the longest due of them has been due.", "lane",
                  {lane: age for lane, (_, age) in figures.due.items()})
        yield _gauge("sanyi_leases", "Prescriptions that a worker is at.", figures.leases)
        yield _gauge("sanyi_review_waiting", "Prescriptions in the pharmacists' queue.", figures.reviews[0])
        yield _gauge("sanyi_review_oldest_seconds", "How long the oldest of them has waited.", figures.reviews[1])
        yield _by("sanyi_outbox_waiting", "Messages not delivered yet, by partner.", "partner",
                  {partner: count for partner, (count, _) in figures.outbox.items()})
        yield _by("sanyi_outbox_oldest_seconds", "How long the oldest of them has waited.", "partner",
                  {partner: age for partner, (_, age) in figures.outbox.items()})
        yield _by("sanyi_messages_unmapped", "Messages that wait for somebody to map a code, by hospital.", "partner",
                  {hospital: count for hospital, (count, _) in figures.unmapped.items()})
        yield _by("sanyi_messages_unmapped_oldest_seconds", "How long the oldest of them has waited.", "partner",
                  {hospital: age for hospital, (_, age) in figures.unmapped.items()})
        yield _by("sanyi_effects_unknown", "Effects whose outcome has been unknown for over a minute, by partner.",
                  "partner", figures.unknown_effects)
        yield _by("sanyi_discrepancies", "Differences between two books found in the last seven days, by kind.",
                  "kind", figures.discrepancies)
        yield _by("sanyi_notices", "Open notices of the last seven days about what partners sent or left, by kind.",
                  "kind", figures.notices)
        yield _by("sanyi_processes", "Processes of ours that are alive, by kind.", "kind", figures.processes)
        if figures.canary is not None:
            yield _gauge("sanyi_canary_age_seconds", "Since a canary last came through Prefect.", figures.canary)


class FromChecks(Collector):
    """What `/ready` says, as gauges."""

    def __init__(self, read: Callable[[], dict[str, bool]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _by("sanyi_check", "1 if this check of /ready was fine the last time.", "check",
                  {name: int(fine) for name, fine in self._read().items()})


def names(*more: Collector) -> set[str]:
    """Every name a query may use of this process' page."""
    names: set[str] = set()
    for registry in (REGISTRY, *map(_alone, more)):
        for family in registry.collect():
            names |= {sample.name for sample in family.samples}
            # A counter or histogram that nothing has moved yet has no samples.
            names |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))}
    return names


_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


def _alone(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def _error_class(error: str) -> str:
    word = error.partition(":")[0]
    return word if word in _ERRORS else "bug" if word else ""


_ERRORS = frozenset({"Transient", "OutcomeUnknown", "Refused", "InvalidPayload", "NeedsOperator", "StaleStatus"})


def _summed(troubles: dict[str, int]) -> dict[str, int]:
    """Trouble codes by class: a code may hold a partner's own words, and there is no end to those."""
    totals: dict[str, int] = {}
    for code, count in troubles.items():
        totals[_error_class(code)] = totals.get(_error_class(code), 0) + count
    return totals


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for word, value in sorted(values.items()):
        family.add_metric([word], value)
    return family

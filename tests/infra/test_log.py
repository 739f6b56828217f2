"""Log lines are JSON, carry ids and lose what looks like a person."""

import asyncio
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import log

RESIDENT = "11010519491231002X"
MOBILE = "13800138000"


@pytest.fixture
def lines():
    """Configures logging for one test; calling it gives the lines written so far."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    log.configure("INFO", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before


def test_an_event_is_one_line_of_json_with_its_ids(lines):
    log.get_logger("tasks.fulfilment.place").info("order.placed", prescription="rx_1", chain="ankang")
    (line,) = lines()
    assert line["event"] == "order.placed"
    assert line["prescription"] == "rx_1"
    assert line["level"] == "info"
    assert line["logger"] == "tasks.fulfilment.place"
    assert line["timestamp"].endswith("Z")


def test_chinese_stays_readable(lines):
    stream = logging.getLogger().handlers[0].stream
    log.get_logger("x").info("chain.slow", chain_name="示范连锁")
    assert "示范连锁" in stream.getvalue()


def test_what_libraries_log_takes_the_same_form(lines):
    logging.getLogger("some.package").warning("retry %s of %s", 1, 3)
    assert lines()[0]["event"] == "retry 1 of 3"
    assert lines()[0]["level"] == "warning"


def test_less_severe_lines_are_not_written(lines):
    log.get_logger("x").debug("noise")
    logging.getLogger("y").debug("noise")
    assert lines() == []


@pytest.mark.parametrize("name", ["httpx", "httpcore.connection", "uvicorn.access", "botocore.endpoint"])
def test_a_line_per_request_is_not_written(lines, name):
    logging.getLogger(name).info('HTTP Request: GET http://x/ "200 OK"')
    assert lines() == []


def test_what_is_bound_is_on_every_line_and_only_inside(lines):
    with log.bind(prescription="rx_1", run="run_1"):
        assert log.current_run() == "run_1"
        log.get_logger("x").info("inside")
        with log.bind(order="ord_1"):
            assert log.current_run() == "run_1"
            logging.getLogger("library").warning("deeper")
    log.get_logger("x").info("outside")
    inside, deeper, outside = lines()
    assert (inside["prescription"], inside["run"]) == ("rx_1", "run_1")
    assert (deeper["prescription"], deeper["order"]) == ("rx_1", "ord_1")
    assert "prescription" not in outside
    assert log.current_run() == ""


def test_a_failure_leaves_nothing_bound(lines):
    with pytest.raises(KeyError), log.bind(run="run_1"):
        raise KeyError
    assert log.current_run() == ""


async def test_runs_beside_each_other_do_not_mix(lines):
    async def work(run: str) -> str:
        with log.bind(run=run):
            await asyncio.sleep(0)
            log.get_logger("x").info("step")
            return log.current_run()

    assert await asyncio.gather(work("a"), work("b")) == ["a", "b"]
    assert [line["run"] for line in lines()] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [RESIDENT, RESIDENT.lower(), MOBILE, f"+86{MOBILE}", f"电话{MOBILE}转", "138-0013-8000", f"/{RESIDENT}?m={MOBILE}"],
)
def test_the_net_holds_ids_and_mobile_numbers(text):
    masked = log.mask(text)
    assert "0013" not in masked
    assert "19491231" not in masked


@pytest.mark.parametrize(
    "text",
    [
        "rx_lg5kyrtcilt4pl3h",
        "20261122090000",
        "1763773200",
        "H37010000001202611220900000001",
        "2026-11-22T01:00:00+00:00",
        "sha256/13/13800138000a1380013800013800138000138001380001380013800013800138aa",
    ],
)
def test_the_net_lets_our_own_ids_through(text):
    assert log.mask(text) == text


@given(st.text(), st.text())
def test_the_net_has_no_hole_between_other_words(before, after):
    if (before[-1:] + after[:1]).isascii() and (before[-1:] + after[:1]).isalnum():
        before, after = before + " ", " " + after
    assert "19491231" not in log.mask(f"{before} {RESIDENT} {after}")


def test_the_net_is_under_every_value_of_a_line(lines):
    class Person:
        def __repr__(self):
            return f"Person({MOBILE})"

    log.get_logger("x").info(
        f"called {MOBILE}", deep={"list": [RESIDENT, (RESIDENT,)], RESIDENT: 1}, number=int(MOBILE), thing=Person()
    )
    try:
        raise ValueError(f"no such person: {RESIDENT}")
    except ValueError:
        log.get_logger("x").exception("lookup.failed")
        logging.getLogger("library").exception("lookup of %s", MOBILE)
    written = json.dumps(lines())
    assert len(lines()) == 3
    assert lines()[0]["thing"] == "Person(<mobile>)"
    assert lines()[1]["exception"].endswith("ValueError: no such person: <resident>")
    assert RESIDENT not in written
    assert MOBILE not in written


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x9b", "\x7f", "\n", "\x1b"])
def test_no_text_ends_a_line_or_moves_a_cursor(lines, character):
    stream = io.StringIO()
    log.configure("INFO", stream)
    log.get_logger("t").info("order.placed", order=f"a{character}b", 键=f"处{character}方")
    (line,) = stream.getvalue().splitlines()
    assert character not in line
    assert json.loads(line)["order"] == f"a{character}b"
    assert "处" in line

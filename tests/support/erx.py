"""A city with a hospital of the national 电子处方 interface, and that hospital's own engine."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from adapters import registry
from gateway.doors.bodies import Bodies
from gateway.doors.erx import erx_door
from infra.http import Transport
from sandbox.dialects import Line, Site
from sandbox.dialects.erx import Speaker, install
from sandbox.facts import Diagnosed, Facts, Medicine
from tasks.city import City
from tests.support.city import STARTED, make_city, make_settings
from tests.support.fakes import Replay

SLUG = "jinan_second"
BEIJING = timezone(timedelta(hours=8))
ISSUED = datetime(2026, 11, 22, 8, 58, tzinfo=BEIJING)
"""Two minutes before the city's clock begins."""

INSTALLED = install(Site(SLUG, "http://hospital", Path(), lambda name: f"{name} of the test", lambda: 0))
SECRETS = {name.rpartition("__")[2].lower(): value for name, value in INSTALLED.settings.items() if "SECRETS" in name}

METFORMIN = Medicine("D001", "盐酸二甲双胍片", "500", "mg", "bid", 30, 60, "片")
DANSHEN = Medicine("D187", "复方丹参滴丸", "10", "丸", "tid", 30, 5, "瓶", "tcm_patent")
UNKNOWN = Medicine("ZZ9", "院内新药", "1", "mg", "qd", 7, 7, "片")
"""In the hospital's list under a code nobody has mapped."""
GLICLAZIDE, GLIMEPIRIDE = (Medicine("D003", "格列齐特缓释片", "30", "mg", "qd", 28, 28, "片"),
                           Medicine("D005", "格列美脲片", "2", "mg", "qd", 30, 30, "片"))
"""Both at once: a duplication the audit stops."""


def facts(number: int = 1, *medicines: Medicine, **changes: Any) -> Facts:
    """What the doctor wrote: metformin for diabetes, if nothing else is said."""
    return replace(Facts(
        SLUG, f"M{number:04d}", f"RX{number:04d}", ISSUED, ISSUED + timedelta(minutes=2), False, "M01600",
        (Diagnosed("E11.900", "2型糖尿病"),), medicines or (METFORMIN,), "示范患者乙", "370102195803029910", True,
        date(1958, 3, 2), "19900000002", "示范市示范区示范路2号", "370102", "36.67", "117.03", "310",
        proof_issued=date(2026, 9, 20)), **changes)


def erx_city(tmp_path: Path, transport: Transport | None = None) -> City:
    """The demo city in which that hospital is the real adapter."""
    city = make_city(tmp_path)
    hospital = registry.load("hospitals", SLUG, transport or Replay(), SECRETS)
    return replace(city, hospitals={**city.hospitals, SLUG: hospital})


def door_app(city: City, tmp_path: Path) -> FastAPI:
    """The door alone."""
    app = FastAPI()
    app.include_router(erx_door(city, make_settings(tmp_path), Bodies()))
    return app


def speaker(gateway: str = "http://gateway", hear: Callable[[str, dict[str, Any]], None] = lambda key, report: None,
            clock: Callable[[], datetime] = lambda: STARTED, **secrets: str) -> Speaker:
    """Its engine; `clock` is that of the city it speaks to."""
    return Speaker(Line(SLUG, gateway, {}, INSTALLED.secrets | secrets, hear), lambda: clock().timestamp())

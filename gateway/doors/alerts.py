"""The bell: Prefect's server rings it, and the gateway tells the operators.

Their address often holds a secret, and Prefect shows its blocks to every user of its API. So the address stays in our
environment, and Prefect holds a key that rings this bell and opens nothing else.
"""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from domain.errors import Transient
from domain.words import Two
from gateway.web.access import bearer, denied, read_json, small
from gateway.web.errors import json_answer
from infra.log import get_logger
from infra.settings import Settings
from tasks.alerts import ALERTS, bell, ring
from tasks.city import City

log = get_logger(__name__)


class Rung(BaseModel):
    """What Prefect's server posts."""

    model_config = ConfigDict(extra="forbid")

    alert: str
    about: str = ""


def alert_door(city: City, settings: Settings) -> APIRouter:
    """POST `/api/alerts` with `alert` and `about`: the operators' address hears of it, in our words."""
    door = APIRouter(prefix="/api/alerts")
    key, address = bell(city.cipher), settings.alert_webhook.get_secret_value()

    @door.post("")
    async def rung(request: Request, body: Annotated[bytes, Depends(small)]) -> Response:
        if not hmac.compare_digest(key.encode(), bearer(request).encode()):
            raise denied(401, "unauthorized", Two("需要告警令牌", "needs the key of the bell"))
        rung = read_json(Rung, body)
        if not address or rung.alert not in ALERTS:
            raise denied(404, "no_such_alert", Two("没有这个告警，或未设置接收地址", "no such alert, or nobody to tell"))
        try:
            await ring(address, rung.alert, rung.about)
        except Transient as error:
            log.error("alert.not_told", alert=rung.alert, error=str(error))
            raise
        return json_answer({"told": rung.alert})

    return door

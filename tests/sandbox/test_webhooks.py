"""A simulated chain takes webhooks by the convention's library: what is not signed is refused, what comes twice is kept once."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from fastapi import FastAPI, Request, Response
from standardwebhooks.webhooks import Webhook

from sandbox import ankang
from sandbox.webhooks import KEY_CHANGED_AFTER, new_key
from tests.support.sockets import serving

NEW, OLD, STRANGER = new_key("new"), new_key("old"), new_key("stranger")
KEYS = {"SANDBOX_ANKANG_WEBHOOK_NEW": NEW, "SANDBOX_ANKANG_WEBHOOK_OLD": OLD}


class Platform:
    """A gateway that has these messages to be read again."""

    def __init__(self, *ids: str) -> None:
        self.app = FastAPI()

        @self.app.post("/callbacks/ankang/webhooks")
        async def read(request: Request) -> Response:
            question = json.loads(await request.body())
            after = int(question["after"] or 0)
            page = ids[after:after + 1]
            return Response(json.dumps({"events": [{"id": id} for id in page], "next": str(after + len(page)),
                                        "more": after + 1 < len(ids)}))


@asynccontextmanager
async def chain(setting, faults=None, keys=KEYS, gateway=""):
    made = setting({"gateway": gateway}, faults)
    made.secrets = made.secrets | keys
    async with serving(ankang.make_app(made)) as url, httpx.AsyncClient(trust_env=False, timeout=10) as client:
        async def send(id: str, *signers: str, at: str = "2026-12-01T00:00:00.000+00:00", order: str = "ord_1") -> int:
            body = json.dumps({"type": "order.placed", "timestamp": at, "data": {"order_id": order}})
            now = datetime.now(UTC)
            signatures = " ".join(Webhook(key).sign(id, now, body) for key in signers)
            return (await client.post(f"{url}/webhooks", content=body, headers={
                "webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signatures})).status_code

        async def book():
            return (await client.get(f"{url}/book")).json()

        yield send, book


async def test_a_message_that_comes_twice_is_kept_once(setting):
    async with chain(setting) as (send, book):
        assert [await send("evt_1", NEW, OLD) for _ in range(2)] == [204, 204]
        page = await book()
        assert [(row["id"], row["times"]) for row in page["webhooks"]["taken"]] == [("evt_1", 2)]
        assert page["defects"] == []


async def test_a_message_that_nobody_signed_whom_it_knows_is_refused(setting):
    async with chain(setting) as (send, book):
        assert await send("evt_1", STRANGER) == 401
        assert (await book())["webhooks"] == {"taken": [], "read": [], "trouble": {"unsigned": 1}}


async def test_its_key_changes_while_both_are_valid_and_the_old_one_is_good_for_nothing_afterwards(setting):
    async with chain(setting) as (send, _):
        assert [await send(f"evt_{number}", NEW, OLD, order=f"ord_{number}") for number in range(KEY_CHANGED_AFTER + 2)] == [
            204] * (KEY_CHANGED_AFTER + 2)
        assert await send("evt_late", OLD, order="ord_late") == 401
        assert await send("evt_late", NEW, order="ord_late") == 204


async def test_a_message_that_overtook_an_earlier_one_about_its_order_is_a_defect(setting):
    async with chain(setting) as (send, book):
        await send("evt_2", NEW, OLD, at="2026-12-01T00:00:02.000+00:00")
        await send("evt_1", NEW, OLD, at="2026-12-01T00:00:01.000+00:00")
        assert [row["defect"] for row in (await book())["defects"]] == ["webhook_out_of_order"]


async def test_it_is_down_slow_and_out_of_date_when_it_is_told_to_be(setting):
    faults = {"webhook_down_next": 1, "webhook_key_next": 1, "webhook_slow_next": 1, "timeout_seconds": 0.01}
    async with chain(setting, faults) as (send, book):
        assert [await send("evt_1", NEW, OLD), await send("evt_2", NEW, OLD, order="ord_2"),
                await send("evt_3", NEW, OLD, order="ord_3")] == [500, 401, 204]
        assert [await send(id, NEW, OLD, order=id) for id in ("evt_1", "evt_2")] == [204, 204]
        assert (await book())["webhooks"]["trouble"] == {"down": 1, "refused": 1, "slow": 1}


async def test_it_reads_again_by_its_cursor_to_the_end(setting):
    async with serving(Platform("evt_1", "evt_2", "evt_3").app) as gateway, chain(setting, gateway=gateway) as (_, book):
        seen: list[str] = []

        async def read_all() -> bool:
            seen[:] = (await book())["webhooks"]["read"]
            return len(seen) == 3

        for _ in range(200):
            if await read_all():
                break
        assert seen == ["evt_1", "evt_2", "evt_3"]


async def test_a_chain_without_a_key_wants_none(setting):
    async with chain(setting, keys={}) as (send, book):
        assert await send("evt_1", NEW) == 404
        assert "webhooks" not in await book()

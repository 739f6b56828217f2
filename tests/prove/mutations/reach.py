"""Where what a prescription keeps must be read: on the pharmacist's desk, in the pharmacy's order, in the fund's claim."""

import dataclasses
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi.testclient import TestClient

from adapters.kit import samples
from domain.claims import Claim, Settlement
from domain.lifecycle import Status
from gateway.app import create_app
from tasks import intake
from tests.prove.mutations.mutation import MARK
from tests.support.city import OPERATOR_TOKEN, PHARMACIST_TOKEN, make_city, make_settings, pass_review
from tests.support.fakes import FakePayer
from tests.support.line import Line

DESK, ORDER, RECIPIENT, NOBODY = "desk", "order", "recipient of the order", "nobody"

READERS: Mapping[str, tuple[str, ...]] = {
    r"prescription\.items\[\]\.(directions|note)": (DESK, ORDER),
    r"prescription\.note": (DESK, ORDER),
    r"prescription\.items\[\]\.name": (DESK, ORDER),
    r"patient\.(name|phone|address)": (RECIPIENT,),
    r"prescription\.external_id|key|prescription\.(hospital|id|patient\.id)": (NOBODY,),
    r"patient\..*": (NOBODY,),
}
"""Path in what is stored -> who reads it, the first that fits; whatever is not named is read on the desk. A patient's number and
credential are read by the fund alone, whose answer to another's number is tested with its adapter."""


@dataclass(frozen=True)
class Reached:
    """What was read of one message, by reader."""

    desk: str
    order: str
    recipient: str
    """Empty unless the medicine is brought home."""
    wrong_claim: bool
    """The fund was told something else of an approval than the hospital said."""


def unread(key: tuple[str, str], messages: Mapping[str, bytes]) -> list[tuple[str, str, str]]:
    """(hospital, path, who does not read it) of marked words that are kept at a hospital's path, in a message of each sample."""
    slug, path = key
    readers = next((readers for pattern, readers in READERS.items() if re.fullmatch(pattern, path)), (DESK,))
    if readers == (NOBODY,):
        return []
    if readers == (RECIPIENT,):
        # Only an order that is brought home names somebody: one message of each sample is tried.
        given = next((reached for raw in messages.values() if (reached := follow(slug, raw)).recipient), None)
        return [(slug, path, RECIPIENT)] if given and MARK not in given.recipient else []
    reached = follow(slug, next(iter(messages.values())))
    missed = []
    if DESK in readers and MARK not in reached.desk:
        missed.append((slug, path, DESK))
    if ORDER in readers and reached.order and MARK not in reached.order:
        missed.append((slug, path, ORDER))
    if reached.wrong_claim:
        missed.append((slug, path, "claim"))
    return missed


def follow(slug: str, raw: bytes) -> Reached:
    """Take a message in, and look at the desk; then let it pass, and look at the order and the claim if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_city(Path(folder))
        fund = Fund(slug=made.payer.slug)
        city = replace(made, hospitals={**made.hospitals, slug: samples.reader(slug)}, payer=fund)
        line = Line(city)
        try:
            admitted, _ = intake.preview(city, slug, raw)
            assert admitted is not None
            said = {item.line: item.approval for item in admitted.prescription.items}
            rx_id = admitted.prescription.id
            intake.receive(city, slug, raw)
            client = TestClient(create_app(city, make_settings(Path(folder))), follow_redirects=False)
            line.hop(rx_id)
            desk = _page(client, f"/review/{rx_id}", PHARMACIST_TOKEN) + _page(client, f"/rx/{rx_id}", OPERATOR_TOKEN)
            if line.status(rx_id) is not Status.IN_REVIEW:
                return Reached(desk, "", "", False)
            pass_review(city, rx_id)
            line.hop(rx_id)
            orders = [held.order for chain in ("ankang", "baicao") for held in line.chain(chain).book.values()]
            wrong = any(one.approval is not said[one.line] for claim in fund.claims for one in claim.lines if not one.selfpay)
            return Reached(desk, "".join(repr(dataclasses.asdict(it)) for it in orders),
                           "".join(repr(it.recipient) for it in orders if it.recipient), wrong)
        finally:
            city.db.close()


class Fund(FakePayer):
    """Keeps what it was asked to pay for."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug=slug)
        self.claims: list[Claim] = []

    async def pre_settle(self, claim: Claim) -> Settlement:
        self.claims.append(claim)
        return await super().pre_settle(claim)


def _page(client: TestClient, path: str, token: str) -> str:
    return client.get(path, headers={"Authorization": f"Bearer {token}"}).text

"""Talks to the insurance centre: one URL, an envelope, and a sign-in number that is renewed when it is refused."""

import asyncio
import hashlib
import secrets as random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from adapters.payers.jinan_centre import envelope, translation
from adapters.payers.jinan_centre.envelope import Answer, Node
from adapters.registry import PayerManifest
from domain.claims import Claim, DayTotals, Entitlement, Identity, Reconciled, Reversal, Settlement
from domain.errors import NeedsOperator, OutcomeUnknown, Refused, RxError, Transient
from domain.trace import UploadKind, UploadLine
from infra.http import UNANSWERED, Request, Transport

_UPLOADS = {UploadKind.SALE: "3505A", UploadKind.RETURN: "3506A"}
_BINDING = frozenset({"2102", "2103", *_UPLOADS.values()})
"""Transactions that move money or goods: silence is not "try later" but "ask again with the same msgid"."""


class Adapter:
    """See `adapters.protocols.Payer`."""

    SECRETS = ("paasid", "secret")

    def __init__(
        self,
        manifest: PayerManifest,
        transport: Transport,
        secrets: Mapping[str, str],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.slug = manifest.slug
        self._us = manifest
        self._transport = transport
        self._paasid, self._secret = secrets["paasid"], secrets["secret"]
        self._clock = clock
        self._sign_no = ""
        self._signing = asyncio.Lock()
        # Starts anywhere: other processes of ours ask in the same second.
        self._numbers = count(random.randbelow(26 * 36**3))

    def new_reference(self, at: datetime, sequence: int) -> str:
        """A claim's or a reversal's msgid (30 characters). `sequence`: 0 to 9999, unique within a second of `at`."""
        return translation.reference(self._us.fixmedins_code, at, sequence)

    def request_bytes(self, claim: Claim) -> bytes:
        return envelope.canonical(translation.claim_input(claim))

    async def entitlement(self, identity: Identity, insutype: str, at: datetime) -> Entitlement:
        person = await self._ask("1101", translation.person_input(identity, at))
        place = str(translation.insurance(person, insutype)["insuplc_admdvs"])
        request = translation.disease_input(str(person["baseinfo"]["psn_no"]))
        qualifications = await self._ask("5301", request, insured_place=place)
        return translation.parse_entitlement(person, qualifications, insutype, at)

    async def pre_settle(self, claim: Claim) -> Settlement:
        # Under a new msgid: the claim's reference is kept for the settlement.
        output = await self._ask("2101", translation.claim_input(claim), insured_place=claim.insured_place)
        return translation.parse_settlement(output, claim)

    async def settle(self, claim: Claim) -> Settlement:
        output = await self._call("2102", claim.reference, translation.claim_input(claim), claim.at,
                                  claim.insured_place)
        return translation.parse_settlement(output, claim)

    async def reverse(
        self, reference: str, settlement_id: str, visit_id: str, psn_no: str, insured_place: str, at: datetime
    ) -> Reversal:
        request = translation.reversal_input(settlement_id, visit_id, psn_no)
        return translation.parse_reversal(await self._call("2103", reference, request, at, insured_place))

    async def upload(self, kind: UploadKind, reference: str, lines: Sequence[UploadLine]) -> None:
        infno = _UPLOADS[kind]
        output = await self._call(infno, reference, translation.upload_input(kind, lines), max(line.at for line in lines), "")
        if not translation.is_taken(output):
            raise Refused(f"{self.slug}: {infno} {reference}: retRslt is not 1", code="trace")

    async def uploaded(self, kind: UploadKind, line: UploadLine) -> bool:
        return translation.holds(await self._ask("3513", translation.upload_query(line)), line)

    async def reconcile(self, totals: DayTotals) -> Reconciled:
        return translation.parse_reconciled(await self._ask("3201", translation.totals_input(totals)))

    async def _ask(self, infno: str, input_: Node, *, insured_place: str = "") -> Node:
        """A question that changes nothing; it has a msgid of ours, which is used once."""
        now = self._clock()
        return await self._call(infno, self._own_reference(now), input_, now, insured_place)

    async def _call(self, infno: str, msgid: str, input_: Node, at: datetime, insured_place: str) -> Node:
        """The checked output of a transaction; signs in before the first one, and once more if asked to."""
        sign_no = self._sign_no or await self._sign_in(refused="")
        answer = await self._exchange(infno, msgid, input_, at, insured_place, sign_no)
        if answer.error == "SIGN":
            sign_no = await self._sign_in(refused=sign_no)
            answer = await self._exchange(infno, msgid, input_, at, insured_place, sign_no)
        return self._output(infno, answer)

    async def _sign_in(self, *, refused: str) -> str:
        """A sign_no other than the refused one; the first caller fetches it for all."""
        async with self._signing:
            if self._sign_no == refused:
                now = self._clock()
                request = translation.sign_in_input(self._us.opter, self._us.mac, self._us.ip)
                answer = await self._exchange("9001", self._own_reference(now), request, now, "", "")
                self._sign_no = str(self._output("9001", answer)["signinoutb"]["sign_no"])
            return self._sign_no

    async def _exchange(
        self, infno: str, msgid: str, input_: Node, at: datetime, insured_place: str, sign_no: str
    ) -> Answer:
        body = envelope.build(self._us, infno, msgid, input_, at=at, sign_no=sign_no, insured_place=insured_place)
        # The centre keeps its answer under the msgid, so every transaction may be sent again.
        request = Request("POST", "/fsi", body, self._headers(), repeatable=True)
        try:
            response = await self._transport.send(request)
        except Transient as silence:
            if infno in _BINDING and silence.code == UNANSWERED:
                raise OutcomeUnknown(f"{infno} {msgid}: {silence}", code=UNANSWERED) from None
            raise
        if response.status != 200:
            raise NeedsOperator(f"{self.slug}: {infno}: HTTP {response.status}; check the centre's address")
        return envelope.parse(response.body)

    def _output(self, infno: str, answer: Answer) -> Node:
        if answer.error:
            raise self._meaning(infno, answer.error)
        return envelope.checked(infno, answer.output)

    def _meaning(self, infno: str, error: str) -> RxError:
        """What a bracketed code asks of us. The text behind it may name a person and goes nowhere."""
        if error == "BUSY":
            return Transient(f"{self.slug}: {infno}: busy", code="busy")
        if error in self._us.refusals:
            return Refused(f"{self.slug}: {infno}: {self._us.refusals[error]}", code=self._us.refusals[error])
        return NeedsOperator(
            f"{self.slug}: {infno}: [{error}]; look the transaction up in the centre's log", code=error.lower()
        )

    def _headers(self) -> dict[str, str]:
        timestamp, nonce = str(int(self._clock().timestamp())), str(uuid4())
        signature = hashlib.sha256(f"{timestamp}{self._secret}{nonce}{timestamp}".encode()).hexdigest()
        return {
            "content-type": "application/json",
            "x-tif-paasid": self._paasid,
            "x-tif-timestamp": timestamp,
            "x-tif-nonce": nonce,
            "x-tif-signature": signature,
        }

    def _own_reference(self, now: datetime) -> str:
        return translation.own_reference(self._us.fixmedins_code, now, next(self._numbers))

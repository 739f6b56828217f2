"""The tables. Rows become domain objects in the modules beside this one, and stay there."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from domain.events import Wait
from domain.lifecycle import FINAL
from domain.window import WORK
from infra.db.engine import UtcDateTime


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    })
    type_annotation_map = {  # noqa: RUF012
        datetime: UtcDateTime,
        dict[str, Any]: sa.JSON,
        list[Any]: sa.JSON,
    }


def _rx(**options: Any) -> Mapped[str]:
    return mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), **options)


URGENT = "wake_at IS NOT NULL AND (expedited OR attempts > 0 OR wished)"
"""What goes first: emergencies, what failed before, what somebody wants cancelled or taken back."""


ENDED = f"""from_status <> to_status AND to_status IN ({", ".join(f"'{status}'" for status in sorted(FINAL))})"""
"""The last move of a history."""
TROUBLED = "trouble <> ''"
OVERDUE_WAITS = (Wait.ACCEPTANCE_OVERDUE, Wait.RECEIPT_OVERDUE)
OVERDUE = f"""waiting_for IN ({", ".join(f"'{wait}'" for wait in OVERDUE_WAITS)})"""
"""Somebody outside has let a deadline pass, and the platform cannot end it by itself."""
HELD = "status = 'held'"
UNRECONCILED = "status IN ('settled', 'reversed')"
"""What the fund has paid or taken back and not yet agreed to."""
FROM_HOSPITALS = "source LIKE 'hospital:%'"
UNDRAWN = "drawn < version"
"""Something happened since it was drawn in Prefect."""
UNDRAWN_OPEN = f"""{UNDRAWN} AND status IN ({", ".join(f"'{status}'" for status in sorted(WORK))})"""
"""The same of those for which somebody has something to do; what is settled only waits for its return window to end."""
WAITING = "waiting"
"""A message that waits for somebody to map its codes."""


def _partly(name: str, where: str, *columns: str) -> sa.Index:
    """An index of the few rows that matter, however many there are. A query must say `where` in the same words."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


class PrescriptionRow(Base):
    """One prescription and where it is. Only `infra.db.history` writes `status`."""

    __tablename__ = "prescription"

    id: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    hospital: Mapped[str] = mapped_column(sa.String(40))
    external_id: Mapped[str] = mapped_column(sa.String(64))
    patient_id: Mapped[str] = mapped_column(sa.String(32), index=True)
    """Opaque; derived from the resident id by a keyed hash, so that one person's prescriptions are found."""
    patient_sealed: Mapped[bytes]
    """Name, resident id, birth date, phone and address as this prescription gave them; encrypted for this row."""
    status: Mapped[str] = mapped_column(sa.String(16))
    version: Mapped[int]
    """Number of history rows. Every write of this row compares it first."""
    head_hash: Mapped[str] = mapped_column(sa.String(64))
    """Hash of the newest history row, so that a shortened chain shows."""
    content: Mapped[dict[str, Any]]
    """`domain.prescription.Prescription` as JSON."""
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    """The bytes as the hospital sent them."""
    received_at: Mapped[datetime]
    valid_until: Mapped[datetime]
    expedited: Mapped[bool] = mapped_column(default=False)
    entitlement_sealed: Mapped[bytes | None]
    """What the fund said of the person at the audit."""
    wished: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    """Somebody wants it cancelled or taken back, or did: see `wish`."""
    wake_at: Mapped[datetime | None]
    """When the platform must look at it next; empty when nothing is owed and no clock runs."""
    waiting_for: Mapped[str] = mapped_column(sa.String(200), default="")
    """A code of `domain.events.Wait`; after a colon its argument."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Failed attempts at the present step."""
    trouble: Mapped[str] = mapped_column(sa.String(80), default="")
    """Code of the present trouble; empty when there is none."""
    lease_owner: Mapped[str | None] = mapped_column(sa.String(60))
    lease_until: Mapped[datetime | None]
    lane: Mapped[str] = mapped_column(sa.String(81), server_default="")
    """`hospital/chain`: whose work it is, `hospital/` before a pharmacy has it. Lanes take turns (`lease_due`)."""
    drawn: Mapped[int | None] = mapped_column(default=0, server_default="0")
    """So many of its history rows are drawn in Prefect, negative: were, and all is to be drawn anew; empty for what had ended
    before anything was."""

    __table_args__ = (
        sa.UniqueConstraint("hospital", "external_id"),
        sa.Index("ix_prescription_lane_wake_at", "lane", "wake_at", sqlite_where=sa.text("wake_at IS NOT NULL"),
                 postgresql_where=sa.text("wake_at IS NOT NULL")),
        sa.Index("ix_prescription_urgent", "wake_at", sqlite_where=sa.text(URGENT), postgresql_where=sa.text(URGENT)),
        sa.Index("ix_prescription_wake_at", "wake_at", sqlite_where=sa.text("wake_at IS NOT NULL"),
                 postgresql_where=sa.text("wake_at IS NOT NULL")),
        sa.Index("ix_prescription_status_received_at_id", "status", "received_at", "id"),
        _partly("ix_prescription_troubled", TROUBLED, "trouble"),
        _partly("ix_prescription_overdue", OVERDUE, "waiting_for", "received_at", "id"),
        _partly("ix_prescription_undrawn", UNDRAWN, "received_at"),
        _partly("ix_prescription_undrawn_open", UNDRAWN_OPEN, "received_at"),
    )


class HistoryRow(Base):
    """What happened, why, and who. Append-only; each row carries the hash of the one before."""

    __tablename__ = "history"

    prescription_id: Mapped[str] = _rx(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[str] = mapped_column(sa.String(32))
    """ISO 8601 in UTC; kept as text so that what was hashed is what is stored."""
    from_status: Mapped[str] = mapped_column(sa.String(16))
    to_status: Mapped[str] = mapped_column(sa.String(16))
    """The same as `from_status` for an event that moves nothing."""
    actor: Mapped[str] = mapped_column(sa.String(60))
    reason: Mapped[str] = mapped_column(sa.Text)
    detail: Mapped[str] = mapped_column(sa.Text)
    """Canonical JSON: codes, ids and amounts."""
    run_id: Mapped[str] = mapped_column(sa.String(40))
    """The Prefect flow run, or empty for the gateway."""
    hash: Mapped[str] = mapped_column(sa.String(64))

    __table_args__ = (_partly("ix_history_ended", ENDED, "at"), sa.Index("ix_history_at", "at"))


class DrawingRow(Base):
    """What Prefect shows of one prescription. Lost, it is drawn again; nothing of the business reads it."""

    __tablename__ = "drawing"

    prescription_id: Mapped[str] = _rx(primary_key=True)
    run_id: Mapped[str] = mapped_column(sa.String(36), default="")
    """Its flow run; empty from the intent to make one until Prefect has answered."""
    state: Mapped[str] = mapped_column(sa.String(400), default="")
    """Type, name and message of the run's state, as drawn; empty: not known."""
    chain: Mapped[str] = mapped_column(sa.String(40), default="")
    """The chain among its tags."""
    ended: Mapped[int] = mapped_column(default=0)
    """So many stages are drawn as ended,"""
    open: Mapped[bool] = mapped_column(default=False)
    """and the one after them as lasting."""
    need: Mapped[str] = mapped_column(sa.String(120), default="")
    """Code of why it is red; empty when it is not."""
    at: Mapped[datetime]
    """When something of it was drawn last, or was to be drawn anew."""

    __table_args__ = (_partly("ix_drawing_red", "need <> ''", "need"), sa.Index("ix_drawing_at", "at"))


class DrawerRow(Base):
    """Who draws, and in which of Prefect's databases. One row."""

    __tablename__ = "drawer"

    id: Mapped[int] = mapped_column(primary_key=True)
    flow_id: Mapped[str] = mapped_column(sa.String(36), default="")
    """Prefect's flow `prescription`: another one, and Prefect has lost its database."""
    owner: Mapped[str] = mapped_column(sa.String(60), default="")
    until: Mapped[datetime]
    """How long nobody else draws."""


class AuditRunRow(Base):
    """One run of the audit. Only ever added."""

    __tablename__ = "audit_run"

    prescription_id: Mapped[str] = _rx(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """From 1 on; the highest one counts."""
    at: Mapped[datetime]
    why: Mapped[str] = mapped_column(sa.String(16))
    """`domain.audit.AuditReason`."""
    rulebook: Mapped[str] = mapped_column(sa.String(40))
    """Version of rules and knowledge; empty where it is not known."""
    warnings: Mapped[int]
    """Findings a pharmacist must answer, for the queue."""
    results: Mapped[list[Any]]
    """In the order of the rules: `{"finding": a document of infra.db.stored.FINDING, "evidence": [ids of rows, drugs, products
    and supplies], "arguments": {name: value in the finding's texts}}`."""


class ReviewRow(Base):
    """The pharmacist's part: queue, claim, decision."""

    __tablename__ = "review"

    prescription_id: Mapped[str] = _rx(primary_key=True)
    prescriber: Mapped[str] = mapped_column(sa.String(40))
    opened_at: Mapped[datetime]
    pharmacist: Mapped[str | None] = mapped_column(sa.String(40))
    claim_until: Mapped[datetime | None]
    lapses: Mapped[int] = mapped_column(default=0)
    """Claims that ran out without a decision."""
    decision: Mapped[str | None] = mapped_column(sa.String(8))
    codes: Mapped[list[Any]]
    text: Mapped[str] = mapped_column(sa.Text, default="")
    reasons: Mapped[dict[str, Any]]
    request_sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    decided_at: Mapped[datetime | None]


class OrderRow(Base):
    """What a pharmacy owes us of a prescription: the portions in its content."""

    __tablename__ = "pharmacy_order"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    """Ours, made before the chain is called."""
    prescription_id: Mapped[str] = _rx()
    attempt: Mapped[int]
    chain: Mapped[str] = mapped_column(sa.String(40))
    store: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.orders.OrderStatus`."""
    content: Mapped[dict[str, Any]]
    """`domain.chains.PharmacyOrder` without secrets."""
    sealed: Mapped[bytes]
    """Claim secret and pickup code."""
    ranking: Mapped[list[Any]]
    """Every candidate with its score and the words for it."""
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    patient_due_fen: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    reference: Mapped[str] = mapped_column(sa.String(80), default="")
    reason: Mapped[str] = mapped_column(sa.String(80), default="")
    made_at: Mapped[datetime]
    accept_by: Mapped[datetime | None]
    fulfil_by: Mapped[datetime | None]
    handed_over_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """When it was declined or cancelled."""

    __table_args__ = (
        sa.UniqueConstraint("prescription_id", "attempt"),
        _partly("ix_pharmacy_order_held", HELD, "made_at"),
        _partly("ix_pharmacy_order_handed_over", "handed_over_at IS NOT NULL", "handed_over_at", "chain", "store"),
    )


class ParcelRow(Base):
    """What of an order travels together."""

    __tablename__ = "parcel"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.parcels.ParcelStatus`."""
    portions: Mapped[dict[str, Any]]
    made_at: Mapped[datetime]
    """When a chain first said a word about it."""
    handed_over_at: Mapped[datetime | None]


class ReturnRow(Base):
    """What came back of an order at one time."""

    __tablename__ = "goods_return"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.fulfilment.returns.ReturnStatus`."""
    portions: Mapped[dict[str, Any]]
    reason: Mapped[str] = mapped_column(sa.String(80), default="")
    at: Mapped[datetime]
    refunded_at: Mapped[datetime | None]


class WishRow(Base):
    """Somebody wants a prescription, or a part of it, cancelled or taken back. It may be here before its prescription."""

    __tablename__ = "wish"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    hospital: Mapped[str] = mapped_column(sa.String(40))
    external_id: Mapped[str] = mapped_column(sa.String(64))
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty while the prescription is not here."""
    kind: Mapped[str] = mapped_column(sa.String(8))
    by: Mapped[str] = mapped_column(sa.String(60))
    """Actor, as in the history."""
    portions: Mapped[dict[str, Any] | None]
    """What it is about; empty: all of it."""
    reason: Mapped[str] = mapped_column(sa.String(40))
    wished_at: Mapped[datetime]
    answer: Mapped[str] = mapped_column(sa.String(8))
    """`domain.fulfilment.wishes.WishAnswer`."""
    answered_at: Mapped[datetime | None]

    __table_args__ = (sa.Index("ix_wish_hospital_external_id", "hospital", "external_id"),)


class ClaimRow(Base):
    """One request to the fund, for one order. A return reverses it and a next version takes its place."""

    __tablename__ = "claim"

    order_id: Mapped[str] = mapped_column(sa.String(40), sa.ForeignKey("pharmacy_order.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    prescription_id: Mapped[str] = _rx(index=True)
    status: Mapped[str] = mapped_column(sa.String(16))
    """`domain.lifecycle.Money`."""
    reference: Mapped[str] = mapped_column(sa.String(30), unique=True)
    content: Mapped[dict[str, Any]]
    """`domain.claims.Claim` without psn_no and identity."""
    insutype: Mapped[str] = mapped_column(sa.String(6))
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    forecast: Mapped[dict[str, Any]]
    pre_settled: Mapped[dict[str, Any] | None]
    settled: Mapped[dict[str, Any] | None]
    settlement_id: Mapped[str | None] = mapped_column(sa.String(30))
    settled_on: Mapped[date | None]
    """The fund's calendar day."""
    reversal_reference: Mapped[str | None] = mapped_column(sa.String(30))
    reversal_id: Mapped[str | None] = mapped_column(sa.String(30))
    reversed_on: Mapped[date | None]

    __table_args__ = (
        sa.Index("ix_claim_settled_on", "settled_on"),
        sa.Index("ix_claim_reversed_on", "reversed_on"),
        _partly("ix_claim_reversal_reference", "reversal_reference IS NOT NULL", "reversal_reference"),
        _partly("ix_claim_unreconciled", UNRECONCILED, "status", "settled_on", "reversed_on"),
    )


class PostingRow(Base):
    """One business event in the books. Append-only."""

    __tablename__ = "posting"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty for an event that is about no single prescription."""
    kind: Mapped[str] = mapped_column(sa.String(16))
    """`domain.ledger.transfers.BusinessEvent`."""
    reference: Mapped[str] = mapped_column(sa.String(30))
    at: Mapped[datetime]
    insutype: Mapped[str | None] = mapped_column(sa.String(6))
    """The row of the fund's daily totals in which it counts, or the empty text; NULL if release 0.1 posted it."""
    day: Mapped[date | None]
    """The fund's calendar day it counts for: of the settlement, or of its reversal. Empty if an older release posted it."""

    __table_args__ = (sa.UniqueConstraint("kind", "reference"), sa.Index("ix_posting_day_kind_id", "day", "kind", "id"))


class TransferRow(Base):
    """What a posting moves from one account to another, in whole fen. Append-only."""

    __tablename__ = "transfer"

    posting_id: Mapped[int] = mapped_column(sa.ForeignKey("posting.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(80))
    destination: Mapped[str] = mapped_column(sa.String(80))
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)

    __table_args__ = (sa.CheckConstraint("amount_fen > 0", name="ck_transfer_positive"),)


class EntryRow(Base):
    """One side of a posting of release 0.1, in whole fen; the sides of one sum to zero. `infra.db.ledger` reads both forms."""

    __tablename__ = "entry"

    posting_id: Mapped[int] = mapped_column(sa.ForeignKey("posting.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(sa.String(80))
    amount_fen: Mapped[int] = mapped_column(sa.BigInteger)


class IntentRow(Base):
    """An effect on the outside world: recorded before the call, completed after it."""

    __tablename__ = "intent"

    prescription_id: Mapped[str] = _rx(primary_key=True)
    step: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    version: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    partner: Mapped[str] = mapped_column(sa.String(40))
    request_sha256: Mapped[str] = mapped_column(sa.String(64))
    made_at: Mapped[datetime]
    run_id: Mapped[str] = mapped_column(sa.String(40))
    answered_at: Mapped[datetime | None]
    answer: Mapped[dict[str, Any] | None]
    """The partner's answer in our words; empty while it is not known."""
    refusal: Mapped[str] = mapped_column(sa.String(80), default="")
    """The code of a business no."""
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    """Failed attempts since it last went well."""
    again_at: Mapped[datetime | None]
    """When it is tried again; empty when nothing failed."""
    trouble: Mapped[str] = mapped_column(sa.String(80), default="", server_default="")
    """Code of the last failure; empty when there is none."""

    __table_args__ = (
        sa.Index("ix_intent_open", "made_at", sqlite_where=sa.text("answered_at IS NULL"),
                 postgresql_where=sa.text("answered_at IS NULL")),
    )


class MessageRow(Base):
    """The inbox: what came from outside, and what we answered."""

    __tablename__ = "message"

    source: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    event_id: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.String(64))
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    received_at: Mapped[datetime]
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32))
    answer_status: Mapped[int]
    answer: Mapped[bytes]
    media: Mapped[str] = mapped_column(sa.String(60), server_default="application/fhir+json")
    refused: Mapped[bool] = mapped_column(server_default=sa.false())

    # Only of hospitals, whose newest are looked at; and so no plan ever looks a key up in it, message by message.
    __table_args__ = (_partly("ix_message_from_hospitals", FROM_HOSPITALS, "source", "received_at"),)


class NonceRow(Base):
    """A callback's nonce, spent."""

    __tablename__ = "nonce"

    partner: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    nonce: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)


class OutboxRow(Base):
    """A message that accompanies a change of state; committed with it, delivered after it."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    """The order in which a partner must hear of one prescription."""
    key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    """`report` to a hospital, `settled` to a chain."""
    partner: Mapped[str] = mapped_column(sa.String(40))
    prescription_id: Mapped[str | None] = mapped_column(sa.String(32), sa.ForeignKey("prescription.id"), index=True)
    """Empty for the answer to a message that became no prescription."""
    sealed: Mapped[bytes]
    made_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    """Empty once it was delivered."""
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str] = mapped_column(sa.String(80), default="")
    sent_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("ix_outbox_due_at", "due_at", sqlite_where=sa.text("due_at IS NOT NULL"),
                 postgresql_where=sa.text("due_at IS NOT NULL")),
        sa.Index("ix_outbox_partner", "partner", "id", sqlite_where=sa.text("due_at IS NOT NULL"),
                 postgresql_where=sa.text("due_at IS NOT NULL")),
    )


class HopRow(Base):
    """One prescription's part in one flow run."""

    __tablename__ = "hop"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(sa.String(40), index=True)
    prescription_id: Mapped[str] = _rx(index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    from_status: Mapped[str] = mapped_column(sa.String(16))
    to_status: Mapped[str] = mapped_column(sa.String(16))
    error: Mapped[str] = mapped_column(sa.String(80), default="")


class NoticeRow(Base):
    """What a partner sends or leaves that a person should look at and that is not about money."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(sa.String(40))
    """A `NoticeKind`, which says what `subject` and `detail` hold."""
    partner: Mapped[str] = mapped_column(sa.String(40))
    """Slug of a hospital or a chain."""
    subject: Mapped[str] = mapped_column(sa.String(80))
    detail: Mapped[str] = mapped_column(sa.String(80))
    noted_at: Mapped[datetime]
    closed_by: Mapped[str | None] = mapped_column(sa.String(80))
    """Who has dealt with it; None while it waits for a person."""
    closed_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("kind", "partner", "subject"),
        sa.Index("ix_notice_noted_at_kind", "noted_at", "kind"),
    )


class DiscrepancyRow(Base):
    """Where two books disagree about money, or a fact came too late to act on: for a person to settle."""

    __tablename__ = "discrepancy"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    prescription_id: Mapped[str] = mapped_column(sa.String(32), index=True, default="")
    """Empty when it is about a day or a partner."""
    kind: Mapped[str] = mapped_column(sa.String(40))
    """E.g. `forecast_vs_pre_settlement`."""
    subject: Mapped[str] = mapped_column(sa.String(80))
    expected: Mapped[str] = mapped_column(sa.String(80))
    actual: Mapped[str] = mapped_column(sa.String(80))
    found_at: Mapped[datetime]

    __table_args__ = (
        sa.UniqueConstraint("kind", "subject", "prescription_id"),
        sa.Index("ix_discrepancy_found_at_kind", "found_at", "kind"),
    )


class ReconciliationRow(Base):
    """The answer to one 3201."""

    __tablename__ = "reconciliation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    day: Mapped[date] = mapped_column(index=True)
    insutype: Mapped[str] = mapped_column(sa.String(6))
    total_fen: Mapped[int] = mapped_column(sa.BigInteger)
    fund_fen: Mapped[int] = mapped_column(sa.BigInteger)
    account_fen: Mapped[int] = mapped_column(sa.BigInteger)
    count: Mapped[int]
    matched: Mapped[bool]
    text: Mapped[str] = mapped_column(sa.String(200))
    at: Mapped[datetime]


class ProcessRow(Base):
    """A process of ours that is, or was lately, alive."""

    __tablename__ = "process"

    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    """`gateway`, `worker` or `operations`."""
    name: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(80))
    pid: Mapped[int]
    version: Mapped[str] = mapped_column(sa.String(20))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class AnchorRow(Base):
    """Where the root of one day of the histories is kept outside of this database. Append-only."""

    __tablename__ = "anchor"

    day: Mapped[date] = mapped_column(primary_key=True)
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    at: Mapped[datetime]


class MappingRow(Base):
    """What a person decided a hospital's code to be. Append-only; the newest row about a code counts."""

    __tablename__ = "mapping"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    hospital: Mapped[str] = mapped_column(sa.String(40), index=True)
    code_table: Mapped[str] = mapped_column(sa.String(20))
    """`drug`, `route`, `frequency`, `unit`, `diagnosis` or `title`."""
    theirs: Mapped[str] = mapped_column(sa.String(100))
    name: Mapped[str] = mapped_column(sa.String(200))
    """What the hospital calls it."""
    ours: Mapped[str] = mapped_column(sa.String(100))
    accepted_by: Mapped[str] = mapped_column(sa.String(60))
    accepted_at: Mapped[datetime]


class WaitingMessageRow(Base):
    """A message with codes that nobody has mapped yet: it waits, its neighbours do not."""

    __tablename__ = "waiting_message"

    hospital: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    archive_key: Mapped[str] = mapped_column(sa.String(80))
    received_at: Mapped[datetime]
    unmapped: Mapped[list[Any]]
    """Each with `table`, `theirs` and `name`."""
    state: Mapped[str] = mapped_column(sa.String(8))
    """`waiting`, then `taken`."""

    __table_args__ = (_partly("ix_waiting_message_waiting", f"state = '{WAITING}'", "hospital", "received_at"),)

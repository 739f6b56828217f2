"""what a prescription waits for, as a code; the history stays as it was written"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'

CODES = {
    "a pharmacist's decision": "decision",
    "the next candidate": "candidate",
    "a pharmacy that can fill it": "filler",
    "the pharmacy": "acceptance",
    "the pharmacy's yes": "acceptance",
    "the pharmacy's word, overdue": "acceptance_overdue",
    "the patient's receipt": "receipt",
    "the patient's receipt, overdue (A-02)": "receipt_overdue",
    "cancel": "cancel_answer",
    "re-settlement": "resettlement",
    "the return window": "return_window",
    "the day's reconciliation": "reconciliation",
    "the next attempt; nobody needs to act": "retry",
    "the partner's word on an unknown outcome": "partner_word",
    "a person: a partner refused what it must not refuse": "person_refused",
    "a person: a partner's answer broke the contract": "person_answer",
    "a person: configuration, credentials or a partner's book": "person_setup",
    "a person: a fault of the platform": "person_fault",
    "a person: its row cannot be read": "person_unreadable",
}
"""By former words; those of the audit, quotes, settlement and reversal are codes already."""


def upgrade() -> None:
    row = sa.table('prescription', sa.column('waiting_for', sa.String))
    waits = row.c.waiting_for
    op.execute(sa.update(row).where(waits.in_(CODES)).values(waiting_for=sa.case(CODES, value=waits)))
    op.execute(sa.update(row).where(waits.like('hold at %')).values(
        waiting_for=sa.literal('hold:').concat(sa.func.substr(waits, len('hold at ') + 1))))


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")

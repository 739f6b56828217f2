"""The tables, by what they are about. Rows become domain objects in the modules of `infra.db`, and stay there.

Each table is known as soon as this package is, so that `Base.metadata` is whole.
"""

from infra.db.rows.books import (
    UNRECONCILED,
    ClaimRow,
    DiscrepancyRow,
    EntryRow,
    PostingRow,
    ReconciliationRow,
    TransferRow,
)
from infra.db.rows.counter import (
    CounterActRow,
    CounterLineRow,
    CounterOrderRow,
    OpeningRow,
    ShelfMoveRow,
    ShelfRow,
)
from infra.db.rows.fulfilment import HELD, ChoiceRow, DeliveryRow, OrderRow, ParcelRow, ReturnRow
from infra.db.rows.partners import (
    FROM_HOSPITALS,
    WAITING,
    IntentRow,
    MappingRow,
    MessageRow,
    NonceRow,
    NoticeRow,
    OutboxRow,
    WaitingMessageRow,
)
from infra.db.rows.people import (
    AccessHeadRow,
    AccessRow,
    CredentialRow,
    EnrolmentRow,
    PartnerTokenRow,
    PersonRow,
    RecoveryCodeRow,
    RoleGrantRow,
    SignInRow,
)
from infra.db.rows.prescriptions import (
    ENDED,
    OVERDUE,
    OVERDUE_WAITS,
    TROUBLED,
    UNDRAWN,
    UNDRAWN_OPEN,
    URGENT,
    AuditRunRow,
    HistoryRow,
    PrescriptionRow,
    ReviewRow,
    WishRow,
)
from infra.db.rows.running import AnchorRow, DrawerRow, DrawingRow, HopRow, ProcessRow
from infra.db.rows.table import Base
from infra.db.rows.trace import UPLOAD_OPEN, PackRow, PackUseRow, RecallRow, TraceUploadRow

__all__ = [
    "ENDED", "FROM_HOSPITALS", "HELD", "OVERDUE", "OVERDUE_WAITS", "TROUBLED", "UNDRAWN", "UNDRAWN_OPEN",
    "UNRECONCILED", "UPLOAD_OPEN", "URGENT", "WAITING", "AccessHeadRow", "AccessRow", "AnchorRow", "AuditRunRow",
    "Base", "ChoiceRow", "ClaimRow", "CounterActRow", "CounterLineRow", "CounterOrderRow", "CredentialRow", "DeliveryRow",
    "DiscrepancyRow",
    "DrawerRow", "DrawingRow", "EnrolmentRow", "EntryRow", "HistoryRow", "HopRow", "IntentRow", "MappingRow",
    "MessageRow", "NonceRow", "NoticeRow", "OpeningRow", "OrderRow", "OutboxRow", "PackRow", "PackUseRow",
    "ParcelRow", "PartnerTokenRow", "PersonRow", "PostingRow", "PrescriptionRow", "ProcessRow", "RecallRow",
    "ReconciliationRow", "RecoveryCodeRow", "ReturnRow", "ReviewRow", "RoleGrantRow", "ShelfMoveRow", "ShelfRow",
    "SignInRow", "TraceUploadRow", "TransferRow", "WaitingMessageRow", "WishRow",
]

"""What people look at: one prescription whole, one run, the board of operations, the books.

Plain data for pages, JSON and Prefect artifacts alike. Nothing here opens a sealed value, and no query reads what
grows as a whole: docs/explanation/history.md.
"""

from infra.db.views.boards import (
    DETAILS,
    DIFFERENCES,
    LASTING,
    NOTICES,
    Board,
    Concern,
    DayMoney,
    Example,
    StatusLine,
    board,
    need_words,
    needing_people,
    trouble_words,
)
from infra.db.views.books import (
    discrepancies,
    ledger,
    notices,
    prescriptions_page,
    ready,
    reconciliations,
    stage_seconds,
    verify_page,
)
from infra.db.views.dossiers import Dossier, dossier, history_export, listed, run, search

__all__ = [
    "DETAILS",
    "DIFFERENCES",
    "LASTING",
    "NOTICES",
    "Board",
    "Concern",
    "DayMoney",
    "Dossier",
    "Example",
    "StatusLine",
    "board",
    "discrepancies",
    "dossier",
    "history_export",
    "ledger",
    "listed",
    "need_words",
    "needing_people",
    "notices",
    "prescriptions_page",
    "ready",
    "reconciliations",
    "run",
    "search",
    "stage_seconds",
    "trouble_words",
    "verify_page",
]

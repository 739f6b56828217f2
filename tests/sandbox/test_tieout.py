"""The tie-out names what took place twice, whichever book shows it."""

from dataclasses import replace
from typing import Any

import pytest

from sandbox.chain import SELLERS
from sandbox.day import whole
from sandbox.recalls import Recall, after
from sandbox.tieout import _custody, carried, doubled, shelves, webhooks

LINES = [{"drug": "D001", "quantity": "60"}, {"drug": "D010", "quantity": "90"}]
HALF = [{"drug": "D001", "quantity": "30"}]
SETTLED = {"kind": "settled", "rxno": "rx_1", "reversed_by": "", "lines": LINES}


def books(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    order = {"order_id": "ord_1", "prescription_id": "rx_1", "status": "handed_over", "lines": LINES}
    settled = SETTLED
    clean: dict[str, dict[str, Any]] = {
        "hospital": {"defects": []},
        **{seller: {"orders": [], "effects": [], "defects": []} for seller in SELLERS},
        "ankang": {"orders": [order], "effects": [{"key": "hold ord_1", "count": 1}], "defects": []},
        "baicao": {"orders": [order | {"order_id": "ord_2", "status": "cancelled"}], "effects": [], "defects": []},
        "insurer": {"settlements": [settled, settled | {"reversed_by": "R1"}], "defects": []}}
    return {partner: book | changes.get(partner, {}) for partner, book in clean.items()}


POSTED = {"kind": "settled", "reference": "S1"}


def test_a_clean_day_has_nothing_double():
    assert doubled({"postings": [POSTED, POSTED | {"kind": "reversed"}]}, books()) == []


@pytest.mark.parametrize(("changes", "named"), [
    ({"baicao": {"orders": [{"order_id": "ord_2", "prescription_id": "rx_1", "status": "handed_over", "lines": HALF}]}},
     "chains: rx_1 has 90 of D001 under way or handed over"),
    ({"baicao": {"orders": [{"order_id": "ord_2", "prescription_id": "rx_1", "status": "prepared", "lines": LINES[1:]}]}},
     "chains: rx_1 has 180 of D010 under way or handed over"),
    ({"ankang": {"effects": [{"key": "hold ord_1", "count": 2}]}}, "ankang: an effect took place 2 times: hold ord_1"),
    ({"insurer": {"settlements": [SETTLED, SETTLED | {"lines": HALF}]}}, "fund: rx_1 is settled for 90 of D001"),
    ({"insurer": {"defects": [{"defect": "double_settlement", "rxno": "rx_1"}]}},
     "insurer: {'defect': 'double_settlement', 'rxno': 'rx_1'}"),
])
def test_what_took_place_twice_is_named(changes, named):
    assert doubled({"postings": []}, books(**changes)) == [named]


def test_what_two_pharmacies_share_is_nothing_double():
    orders = [{"order_id": f"ord_{number}", "prescription_id": "rx_1", "status": "handed_over", "lines": lines}
              for number, lines in enumerate((HALF, HALF, LINES[1:]))]
    settled = [SETTLED | {"lines": order["lines"]} for order in orders]
    assert doubled({"postings": []}, books(ankang={"orders": orders}, insurer={"settlements": settled})) == []


def test_a_posting_made_twice_is_named():
    assert doubled({"postings": [POSTED, POSTED]}, books()) == ["ledger: settled S1 posted 2 times"]


def test_a_book_is_read_to_its_last_page():
    pages = {
        "ledger?limit=2000": {"postings": [1], "claims": [1, 2], "next": "/api/ops/ledger?posting=1&limit=2000"},
        "ledger?posting=1&limit=2000": {"postings": [2], "claims": [], "next": ""}}

    class City:
        def ops(self, path):
            return dict(pages[path])

    assert whole(City(), "ledger") == {"postings": [1, 2], "claims": [1, 2]}


def test_a_shelf_that_two_books_count_differently_is_named():
    platform = [{"store": "LL01", "drug": "D005", "quantity": "70.000"}, {"store": "LL02", "drug": "D003", "quantity": "56"}]
    both = [{"store": "LL01", "drug": "D005", "left": "70"}, {"store": "LL02", "drug": "D003", "left": "56"}]
    assert shelves(both, platform) == []
    assert shelves([{"store": "LL01", "drug": "D005", "left": "40"}], platform) == [
        "shelf LL01 D005: we have 70.000, the shop 40", "shelf LL02 D003: we have 56, the shop None"]


def test_a_parcel_that_a_clinic_gave_away_or_forgot_is_named():
    def carried_by(status, order_id="ord_1"):
        return {"orders": [{"id": order_id, "point": "linli/LL05", "deliveries": [{"status": status}]}]}

    def kept(state, order_id="ord_1"):
        return {"kept": [{"order_id": order_id, "point": "linli/LL05", "state": state}]}

    assert list(_custody([carried_by("signed")], kept("given"))) == list(_custody([carried_by("returned")], kept("here"))) == []
    assert list(_custody([carried_by("returned")], kept("given"))) == ["point ord_1: ours is returned, the clinic's given"]
    assert list(_custody([carried_by("signed")], {"kept": []})) == ["point ord_1: ours is signed, the clinic's None"]
    assert list(_custody([], kept("here"))) == ["point ord_1: the clinic kept a parcel that is for no point"]
    assert carried([carried_by("signed"), carried_by("returned"), carried_by("lost")]).total() == 3


def test_what_a_recall_should_have_stopped_is_named():
    def packed(order_id, code, status="handed_over"):
        return {"order_id": order_id, "status": status, "traces": [{"lot": "L1", "code": code}]}

    recall = Recall("L1", frozenset({("ord_2", "2")}), frozenset({("ord_1", "1")}), ["ord_2"], [])
    assert after(recall, [packed("ord_1", "1"), packed("ord_2", "2", "prepared")]) == []
    assert after(recall, [packed("ord_1", "1"), packed("ord_2", "2")]) == ["recall of L1: 2 of ord_2 was handed over after it"]
    assert after(replace(recall, packed_anew=[]), []) == ["recall of L1: ord_2 was not packed anew"]


PLACED, BACK = "evt_ord_1_placed", "evt_ord_2_cancelled"
LOG = [{"id": id, "chain": "ankang", "sent_at": "2026-12-01T00:00:00Z"} for id in (PLACED, BACK)]
TAKEN = [{"id": PLACED, "type": "order.placed", "order_id": "ord_1", "times": 2},
         {"id": BACK, "type": "order.cancelled", "order_id": "ord_2", "times": 1}]
TOLD = {"orders": [{"order_id": "ord_1", "status": "handed_over"}, {"order_id": "ord_2", "status": "cancelled"}],
        "webhooks": {"taken": TAKEN, "read": [PLACED, BACK], "trouble": {"down": 2}}}
OURS = [{"orders": [{"id": "ord_1", "chain": "ankang", "status": "handed_over"},
                    {"id": "ord_2", "chain": "ankang", "status": "cancelled"}]}]


def test_webhooks_that_agree_are_no_difference():
    assert webhooks(LOG, OURS, {"ankang": TOLD}) == []


@pytest.mark.parametrize(("log", "changed", "named"), [
    (LOG, {"taken": TAKEN[:1]}, f"webhook {BACK} is with us only"),
    (LOG[1:], {}, f"webhook {PLACED} is with them only"),
    (LOG, {"read": [PLACED]}, f"webhook {BACK} was not read again"),
    ([LOG[0], LOG[1] | {"sent_at": None}], {}, f"webhook {BACK} has not arrived by our log"),
    (LOG, {"trouble": {"unsigned": 1}}, "1 webhooks had no signature that counts"),
    (LOG, {"taken": [TAKEN[0] | {"type": "order.cancelled"}, TAKEN[1]]}, "was told of order.placed ord_1 0 times"),
])
def test_a_webhook_that_is_missing_anywhere_is_named(log, changed, named):
    differences = webhooks(log, OURS, {"ankang": TOLD | {"webhooks": TOLD["webhooks"] | changed}})
    assert any(named in difference for difference in differences), differences

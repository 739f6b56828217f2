"""The tie-out: the platform's ledger against every partner's own book, line by line."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any

from domain.money import fen
from sandbox.chain import SELLERS
from sandbox.doors import COURIER
from sandbox.plan import prescribed
from sandbox.webhooks import TAKERS

Row = Mapping[str, Any]


OF_THE_FUND = ("settled", "reversed")
"""Kinds of postings that the fund has in its book."""
_CARRIED = {"created": "assigned", "picked_up": "collected", "on_the_way": "in_transit", "at_door": "arrived",
            "not_delivered": "attempt_failed", "at_point": "held_at_point", "delivered": "signed", "going_back": "returning",
            "back": "returned", "lost": "lost", "stopped": "cancelled"}
"""The courier's word for where a parcel is -> the platform's."""


def compare(ledger: Row, prescriptions: Sequence[Row], books: Mapping[str, Row]) -> list[str]:
    """Every disagreement between the platform and its partners, in words with ids; empty when all agree."""
    return [*_fund(ledger, books["insurer"]), *_chains(prescriptions, ledger, books), *_hospital(prescriptions, books),
            *_packs(books), *_parcels(prescriptions, books[COURIER]), *_custody(prescriptions, books["linli"]),
            *_payments(prescriptions, ledger, books), *_defects(books), *doubled(ledger, books)]


def doubled(ledger: Row, books: Mapping[str, Row]) -> list[str]:
    """Everything that took place twice though it was owed once, in any book, also across two chains."""
    differences = [f"ledger: {' '.join(key)} posted {number} times" for key, number in Counter(
        (posting["kind"], posting["reference"]) for posting in ledger["postings"]).items() if number > 1]
    differences += [f"fund: {rxno} is settled for {quantity} of {drug}" for (rxno, drug), quantity in _too_much(
        (row["rxno"], line["drug"], line["quantity"]) for row in books["insurer"]["settlements"]
        if row["kind"] == "settled" and not row["reversed_by"] for line in row["lines"])]
    differences += [f"chains: {rx} has {quantity} of {drug} under way or handed over" for (rx, drug), quantity in _too_much(
        (order["prescription_id"], line["drug"], line["quantity"]) for chain in SELLERS for order in books[chain]["orders"]
        if order["prescription_id"] and order["status"] not in ("held", "declined", "cancelled") for line in order["lines"])]
    differences += [f"{chain}: an effect took place {effect['count']} times: {effect['key']}"
              for chain in SELLERS for effect in books[chain]["effects"] if effect["count"] > 1]
    return differences + [f"{partner}: {defect}" for partner, book in books.items() for defect in book["defects"]
                    if str(defect["defect"]).startswith("double")]


def _too_much(sold: Iterable[tuple[str, str, str]]) -> list[tuple[tuple[str, str], Decimal]]:
    """Prescriptions and drugs of which more was sold, in several sales, than a hospital of the day prescribes."""
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for prescription, drug, quantity in sold:
        sums.setdefault((prescription, drug), []).append(Decimal(quantity))
    return [(key, sum(quantities, Decimal(0))) for key, quantities in sums.items()
            if len(quantities) > 1 and sum(quantities) > prescribed(key[1])]


def internal(verified: Row, discrepancies: Sequence[Row], notices: Sequence[Row], reconciliations: Sequence[Row],
             ledger: Row, broken: Set[str] = frozenset()) -> list[str]:
    """What the platform's own checks say: chains, postings, discrepancies, notices, and the fund's yes to every total.

    `broken` are the files that a chain broke on purpose, as a notice names them: each must be one.
    """
    differences = [f"history of {row['prescription_id']} broken at {row['seq']}: {row['what']}" for row in verified["broken"]]
    differences += [f"posting {row['posting']} is out of balance by {row['sum_fen']} fen"
              for row in verified["out_of_balance"]]
    differences += [f"posting {row['posting']}: {row['account']} has {row['posted_fen']} fen, its claim {row['claim_fen']}"
              for row in verified["unlike_claim"]]
    differences += [f"discrepancy {row['kind']} {row['subject']}: expected {row['expected']}, got {row['actual']}"
              for row in discrepancies]
    refused = {notice["subject"] for notice in notices if notice["kind"] == "update_refused"}
    differences += [f"notice {notice['kind']} {notice['partner']} {notice['subject']}: {notice['detail']}" for notice in notices
                    if notice["kind"] != "update_refused" or notice["subject"] not in broken]
    differences += [f"a file that nobody could read in full is no notice: {file}" for file in sorted(broken - refused)]
    newest = {(row["day"], row["insutype"]): row for row in reversed(reconciliations)}
    differences += [f"3201 for {day} {insutype}: {row['text']}" for (day, insutype), row in newest.items()
              if not row["matched"]]
    insutypes = {insutype for _, insutype in newest}
    owed = {posting["insutype"] for posting in ledger["postings"] if posting["kind"] in OF_THE_FUND}
    differences += [f"3201 was not answered for {insutype}" for insutype in sorted(owed - insutypes)]
    return differences


def _fund(ledger: Row, book: Row) -> Iterator[str]:
    """Each settlement and each reversal: what we posted against what the fund has, to the fen; none missing, none twice."""
    ours: dict[tuple[str, str], tuple[int, ...]] = {}
    settlements = [posting for posting in ledger["postings"] if posting["kind"] in OF_THE_FUND]
    for posting in settlements:
        key = posting["kind"], posting["reference"]
        ours[key] = _amounts(posting)
    names = ("medfee_sumamt", "fund_pay_sumamt", "acct_pay", "psn_cash_pay")
    theirs = {(row["kind"], row.get("reverses") or row["setl_id"]): tuple(fen(Decimal(row[name])) for name in names)
              for row in book["settlements"]}
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"fund {' '.join(key)}: we posted {ours.get(key)}, they have {theirs.get(key)}"
    chain_of = {claim["settlement_id"]: claim["chain"] for claim in ledger["claims"] if claim["settlement_id"]}
    for posting in settlements:
        credited = [entry["account"] for entry in posting["entries"] if entry["account"].startswith("chain:")]
        if credited != [f"chain:{chain_of.get(posting['reference'])}"]:
            yield f"ledger: {posting['kind']} {posting['reference']} credits {credited}"


def _amounts(posting: Row) -> tuple[int, ...]:
    """Total, fund, account and cash of a posting, from its entries."""
    sums = {"chain": 0, "fund": 0, "account": 0, "patient": 0}
    for entry in posting["entries"]:
        sums[entry["account"].partition(":")[0]] += entry["amount_fen"]
    return sums["chain"], -sums["fund"], -sums["account"], -sums["patient"]


def _chains(prescriptions: Sequence[Row], ledger: Row, books: Mapping[str, Row]) -> Iterator[str]:
    """Each order: status, amounts, what came back, and the last word about money."""
    final = {claim["order_id"]: claim for claim in ledger["claims"] if claim["settlement_id"]}
    for chain in SELLERS:
        theirs = {order["order_id"]: order for order in books[chain]["orders"]}
        ours = {order["id"]: order for row in prescriptions for order in row["orders"] if order["chain"] == chain}
        for order_id in sorted(theirs.keys() - ours.keys()):
            yield f"{chain} {order_id}: an order we know nothing of"
        for order_id, order in ours.items():
            if order_id not in theirs:
                if order["status"] not in ("declined", "cancelled"):
                    yield f"{chain} {order_id}: ours is {order['status']}, they have none"
                continue
            yield from _order(chain, order, theirs[order_id], final.get(order_id))


def _order(chain: str, ours: Row, theirs: Row, claim: Row | None) -> Iterator[str]:
    where = f"{chain} {ours['id']}"
    over = ("declined", "cancelled")
    if ours["status"] != theirs["status"] and not (ours["status"] in over and theirs["status"] in over):
        yield f"{where}: ours is {ours['status']}, theirs {theirs['status']}"
    if ours["total_fen"] != theirs["total_fen"]:
        yield f"{where}: total ours {ours['total_fen']}, theirs {theirs['total_fen']}"
    if sorted(ours["returned_lines"]) != sorted(theirs["returned_lines"]):
        yield f"{where}: returned lines ours {ours['returned_lines']}, theirs {theirs['returned_lines']}"
    if claim is None:
        return
    settlement = theirs["settlement"] or {}
    gone = bool(claim["reversal_id"])
    expected = {"total_fen": 0, "fund_fen": 0, "account_fen": 0, "cash_fen": 0} if gone else {
        name: claim[name] for name in ("total_fen", "fund_fen", "account_fen", "cash_fen")}
    if {name: settlement.get(name) for name in expected} != expected:
        yield f"{where}: they were told {settlement}, the fund said {expected}"


def _packs(books: Mapping[str, Row]) -> Iterator[str]:
    """Each pack that a chain handed over or took back: the fund has it once, with the same units, and nothing besides."""
    sold: Counter[tuple[str, str, str, str]] = Counter()
    for chain in SELLERS:
        for order in books[chain]["orders"]:
            for pack in order.get("traces", ()):
                units = order["order_id"], pack["code"], str(pack["units"])
                if order["status"] in ("handed_over", "returned"):
                    sold["sold", *units] += 1
                if order["status"] == "returned" and pack["line"] in order["returned_lines"]:
                    sold["returned", *units] += 1
    uploaded = Counter((row["kind"], row["order_id"], row["code"], row["units"]) for row in books["insurer"]["uploads"])
    for key in sorted(sold.keys() | uploaded.keys()):
        if sold[key] != uploaded[key]:
            yield f"pack {' '.join(key)}: the chain has it {sold[key]} times, the fund {uploaded[key]} times"
    whole = Counter(code for kind, _, code, _ in sold if kind == "sold")
    opened = {row["code"] for row in books["insurer"]["uploads"] if row.get("opened")}
    yield from (f"pack {code} is sold {number} times" for code, number in whole.items() if number > 1 and code not in opened)


def shelves(book: Sequence[Row], platform: Sequence[Row]) -> list[str]:
    """What the people of shops without a system have on their shelves, by their own book and by the platform's."""
    theirs = {(row["store"], row["drug"]): Decimal(row["left"]) for row in book}
    ours = {(row["store"], row["drug"]): Decimal(row["quantity"]) for row in platform}
    return [f"shelf {' '.join(shelf)}: we have {ours.get(shelf)}, the shop {theirs.get(shelf)}"
            for shelf in sorted(theirs.keys() | ours.keys()) if ours.get(shelf) != theirs.get(shelf)]


def webhooks(messages: Sequence[Row], prescriptions: Sequence[Row], books: Mapping[str, Row]) -> list[str]:
    """What the platform says it told each chain, what the chain has, and what it read again: the same messages, each once.

    An order that the chain has, or that was taken back, is told of.
    """
    differences = []
    for chain in TAKERS:
        book = books[chain]["webhooks"]
        ours = {message["id"] for message in messages if message["chain"] == chain}
        theirs = {message["id"] for message in book["taken"]}
        differences += [f"{chain}: webhook {id} is with {'us' if id in ours else 'them'} only" for id in sorted(ours ^ theirs)]
        differences += [f"{chain}: webhook {id} was {'not read again' if id in ours else 'read, and is none of ours'}"
                        for id in sorted(ours ^ set(book["read"]))]
        differences += [f"{chain}: webhook {message['id']} has not arrived by our log" for message in messages
                        if message["chain"] == chain and not message["sent_at"]]
        counted = Counter((message["type"], message["order_id"]) for message in book["taken"] if message["order_id"])
        owed = [("order.placed", order["order_id"]) for order in books[chain]["orders"]
                if order["status"] not in ("held", "declined", "cancelled")]
        owed += [("order.cancelled", order["id"]) for row in prescriptions for order in row["orders"]
                 if order["chain"] == chain and order["status"] == "cancelled"]
        differences += [f"{chain} was told of {type} {order} {counted[type, order]} times" for type, order in owed
                        if counted[type, order] != 1]
        differences += [f"{chain}: {number} webhooks had no signature that counts" for kind, number in book["trouble"].items()
                        if kind == "unsigned"]
    return differences


def _parcels(prescriptions: Sequence[Row], book: Row) -> Iterator[str]:
    """Each parcel: the courier has it once, under its own number, and is as far with it as we know."""
    ours = {f"{order['id']}:{delivery['number']}": delivery for row in prescriptions for order in row["orders"]
            for delivery in order["deliveries"]}
    theirs = {parcel["parcel"]: parcel for parcel in book["parcels"]}
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in theirs:
            if ours[key]["status"] != "cancelled":
                yield f"parcel {key}: ours is {ours[key]['status']}, the courier has none"
        elif key not in ours:
            yield f"parcel {key}: the courier has one we know nothing of"
        elif (state := _CARRIED[theirs[key]["state"]]) != ours[key]["status"] and not (
                # A courier's part of a parcel ends at its point; the point's people have the last word.
                theirs[key]["habit"] == "point" and (state, ours[key]["status"]) == ("held_at_point", "signed")):
            yield f"parcel {key}: ours is {ours[key]['status']}, the courier's {state}"
        elif (theirs[key]["no"], theirs[key]["try"]) != (ours[key]["reference"], ours[key]["attempt"]):
            yield (f"parcel {key}: ours is {ours[key]['reference']} after {ours[key]['attempt']} attempts, "
                   f"the courier's {theirs[key]['no']} after {theirs[key]['try']}")
    yield from (f"{COURIER}: an effect took place {effect['count']} times: {effect['key']}"
                for effect in book["effects"] if effect["count"] > 1)


def _custody(prescriptions: Sequence[Row], book: Row) -> Iterator[str]:
    """Each parcel that a clinic kept: given to its patient by its own book where it is signed, fetched by the courier else."""
    ours = {order["id"]: order["deliveries"][-1]["status"] for row in prescriptions for order in row["orders"]
            if order["point"] and order["deliveries"]}
    theirs = {parcel["order_id"]: parcel["state"] for parcel in book["kept"]}
    for order_id, status in ours.items():
        if theirs.get(order_id) != ("given" if status == "signed" else "here"):
            yield f"point {order_id}: ours is {status}, the clinic's {theirs.get(order_id)}"
    yield from (f"point {order_id}: the clinic kept a parcel that is for no point"
                for order_id in sorted(theirs.keys() - ours.keys()))


def carried(prescriptions: Sequence[Row]) -> Counter[str]:
    """What became of parcels that were for a pick-up point, and of those that were lost."""
    counts: Counter[str] = Counter()
    for order in (order for row in prescriptions for order in row["orders"]):
        last = order["deliveries"][-1]["status"] if order["deliveries"] else ""
        if order["point"] and last == "signed":
            counts["在取药点领取 collected at a point"] += 1
        elif order["point"] and last == "returned":
            counts["到期未取退回 not collected, sent back"] += 1
        elif last == "lost":
            counts["途中丢失 lost on the way"] += 1
    return counts


def _payments(prescriptions: Sequence[Row], ledger: Row, books: Mapping[str, Row]) -> Iterator[str]:
    """Each payment: amount, method and number by the platform and by who took it; cash by courier, shop and platform; the ledger.

    What was handed over is paid; and what a patient paid, less what goes back, is what the patient owes after the settlement.
    """
    orders = {order["id"]: order for row in prescriptions for order in row["orders"]}
    ours = {order_id: payment for order_id, order in orders.items() for payment in order["payments"] if payment["status"] == "paid"}
    done = {order["order_id"] for order in books["linli"]["orders"] if order["status"] in ("handed_over", "returned")}
    theirs = {row["order_id"]: (row["fen"], row["method"], row["reference"]) for row in books["linli"]["till"]
              if row["order_id"] in done}
    door = {parcel["parcel"].rpartition(":")[0]: parcel for parcel in books[COURIER]["parcels"] if parcel["paid"]}
    theirs |= {order_id: (parcel["paid"]["fen"], parcel["paid"]["way"], parcel["paid"]["ref"]) for order_id, parcel in door.items()}
    for order_id in sorted(ours.keys() | theirs.keys()):
        mine = ours.get(order_id)
        mine_in_full = mine and (mine["amount"], mine["method"], mine["reference"])
        if mine_in_full != theirs.get(order_id):
            yield f"payment {order_id}: ours is {mine_in_full}, who took it has {theirs.get(order_id)}"
    brought = {row["order_id"]: row["fen"] for row in books["linli"]["cash"]}
    for order_id in sorted(ours.keys() | brought.keys()):
        cash = order_id in door and theirs[order_id][1] == "cash"
        amount, parcel = theirs[order_id][0] if cash else None, door.get(order_id)
        handed_in = amount if cash and ours[order_id]["handed_in_at"] else None
        if not brought.get(order_id) == handed_in == amount or (cash and not (parcel and parcel["handed_in"])):
            yield f"cash {order_id}: the courier took {amount}, the shop has {brought.get(order_id)}, we {handed_in}"
    collected = sum(payment["amount"] for payment in ours.values())
    back = sum(refund["amount"] for order in orders.values() for refund in order["refunds"])
    posted = Counter[str]()
    for posting in ledger["postings"]:
        posted[posting["kind"]] += sum(entry["amount_fen"] for entry in posting["entries"] if entry["account"] == "patient")
    if (posted["collected"], -posted["refunded"]) != (collected, back):
        yield f"payments: {collected} and {back} back by the rows, {posted['collected']} and {-posted['refunded']} by the ledger"
    held = sum(entry["amount_fen"] for posting in ledger["postings"] for entry in posting["entries"]
               if entry["account"] == f"courier:{COURIER}")
    if held:
        yield f"{COURIER} still has {-held} fen by the ledger"
    owed = {claim["order_id"]: 0 if claim["reversal_id"] else claim["cash_fen"] for claim in ledger["claims"]
            if claim["settlement_id"]}
    for order_id in sorted(done & orders.keys()):
        paid = ours[order_id]["amount"] if order_id in ours else 0
        net = paid - sum(refund["amount"] for refund in orders[order_id]["refunds"])
        if net != owed.get(order_id, net):
            yield f"payment {order_id}: {net} was paid, {owed[order_id]} is owed"


def _hospital(prescriptions: Sequence[Row], books: Mapping[str, Row]) -> Iterator[str]:
    """Each prescription: its own hospital was told where it ended."""
    statuses = {(row["hospital"], row["prescription"]): row["status"] for row in books["hospital"]["prescriptions"]}
    for row in prescriptions:
        expected = "settled" if row["status"] == "closed" else row["status"]
        status = statuses.get((row["hospital"], row["external_id"]))
        if status != expected:
            yield f"hospital {row['hospital']} {row['external_id']}: it is {row['status']}, they were told {status}"


def _defects(books: Mapping[str, Row]) -> Iterator[str]:
    for partner, book in books.items():
        for defect in book["defects"]:
            yield f"{partner} saw a defect: {defect}"


def lines(ledger: Row, books: Mapping[str, Row]) -> int:
    """How many lines were compared."""
    return (len(books["insurer"]["settlements"]) + sum(len(books["linli"][name]) for name in ("till", "cash", "kept"))
            + sum(len(books[chain]["orders"]) for chain in SELLERS)
            + len(books[COURIER]["parcels"]) + len(books["hospital"]["prescriptions"])
            + len(ledger["postings"]) + len(books["insurer"]["uploads"])
            + sum(len(books[chain]["webhooks"]["taken"]) for chain in TAKERS))


def money(ledger: Row) -> dict[str, int]:
    """What the day came to in fen, from the postings: reversals are in it with their sign."""
    sums = {"总额 total": 0, "基金 fund": 0, "个人账户 account": 0, "现金 cash": 0}
    names = {"chain": "总额 total", "fund": "基金 fund", "account": "个人账户 account", "patient": "现金 cash"}
    for posting in ledger["postings"]:
        for entry in posting["entries"] if posting["kind"] in OF_THE_FUND else ():
            kind = entry["account"].partition(":")[0]
            sums[names[kind]] += entry["amount_fen"] * (1 if kind == "chain" else -1)
    return sums


def paid(prescriptions: Sequence[Row]) -> dict[str, int]:
    """What patients paid at doors and counters, in fen by method, and what goes back."""
    sums: dict[str, int] = {}
    for order in (order for row in prescriptions for order in row["orders"]):
        for payment in order["payments"]:
            name = payment["method"] or "未付 not paid at first"
            sums[name] = sums.get(name, 0) + payment["amount"]
        for refund in order["refunds"]:
            sums["应退 goes back"] = sums.get("应退 goes back", 0) + refund["amount"]
    return sums


def faults(books: Mapping[str, Row], worker_killed: int, hospital: Row) -> dict[str, int]:
    """The ordinary faults of the day, as the partners counted them."""
    events = [event for partner in (*SELLERS, COURIER) for event in books[partner]["callbacks"]]
    return {
        "工作进程被杀 worker killed": worker_killed,
        "报文重发 messages sent again": int(hospital.get("retried", 0)),
        "医保重复报文 repeated msgid": len(books["insurer"]["repeated"]),
        "连锁坏文件 broken files of chains": sum(len(books[seller].get("broken", ())) for seller in SELLERS),
        "回调重复或重发 callbacks repeated": sum(max(0, event["tries"] - 1) for event in events),
        "推送重发 webhooks repeated": sum(
            message["times"] - 1 for chain in TAKERS for message in books[chain]["webhooks"]["taken"]),
        "推送被拒或超时 webhooks refused, unanswered": sum(
            number for chain in TAKERS for number in books[chain]["webhooks"]["trouble"].values()),
        "首投未达 first attempts failed": sum(parcel["try"] > 1 for parcel in books[COURIER]["parcels"]),
        "拒单 orders declined": sum(order["status"] == "declined" for chain in SELLERS
                                for order in books[chain]["orders"]),
    }

"""No name, id number, phone or address of a day's patients, nor a marker in broken messages, is in a table, log or page."""

import asyncio
import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
from rich.console import Console

from domain.privacy import WITHHELD
from sandbox.chain import CHAINS
from sandbox.city import SandboxCity
from sandbox.day import run_day
from sandbox.dialects import Line, fhir, speaker
from sandbox.facts import Facts
from sandbox.people import resident_id
from sandbox.plan import Plan
from sandbox.processes import Processes

NAME, PHONE = "马克儿隐私标记", "19912345670"
EARLIEST = 1901
"""Nobody else in the sandbox was born that early: the marked id numbers are ours alone."""


def main() -> int:
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        with Processes(folder / "logs") as processes:
            city = SandboxCity(folder, processes, slug="jinan", seed=5)
            answers: list[bytes] = []
            city.on_sending = lambda: answers.extend(_send_marked(city))
            day = run_day(city, 20, console)
            kept = _lived_through(city)
            markers = _markers(folder)
            pages = _pages(city, but=kept)
            desk = _pages(city, [f"{door}/{rx_id}" for rx_id in kept for door in ("/rx", "/api/rx")])
        where = {
            "Prefect tables": _in_database(folder / "prefect.db", markers),
            "our database": _in_database(folder / "sanyi.db", markers),
            "logs": _in_files((folder / "logs").glob("*.log"), markers),
            "answers to hospitals": _in_bytes(answers, markers),
            "pages and API": _in_bytes([*pages, *desk], markers),
            "free words outside of the prescription's content": [
                *(cell for cell in _in_database(folder / "sanyi.db", [WORDS]) if cell not in RESTS),
                *_in_database(folder / "prefect.db", [WORDS]), *_in_files((folder / "logs").glob("*.log"), [WORDS]),
                *_in_bytes(pages, [WORDS])],
            "file names": [str(path) for path in folder.rglob("*") for marker in markers if marker in path.name],
        }
        archived = _in_files((folder / "archive").rglob("*"), markers)
        said = {cell for cell in _in_database(folder / "sanyi.db", [WORDS]) if cell in RESTS}
        withheld = _in_database(folder / "sanyi.db", [WITHHELD])
    for place, found in where.items():
        console.print(f"{'✓' if not found else '✗'} {place}: {len(found)} found {found[:3] if found else ''}")
    console.print(f"  (archive of raw messages, where it must be: {len(archived)} files)")
    hits = sum(map(len, where.values()))
    console.print(f"  (free words in {', '.join(sorted(said))}, where pharmacists read them; {len(kept)} of those prescriptions "
                  f"settled with chains whose numbers are people's: {len(withheld)} withheld)")
    held = day.good and hits == 0 and archived and answers and said == RESTS and desk and withheld
    console.print(f"privacy: {hits} markers found in {len(where)} kinds of places, {len(markers)} markers planted, "
                  f"{len(answers)} broken or refused messages sent")
    return 0 if held else 1


def _send_marked(city: SandboxCity) -> list[bytes]:
    """Broken messages of every kind with the markers in them, and a good one twice; returns what was answered."""
    plan = Plan.load(city.folder)
    good = fhir.bundle(replace(plan.prescriptions[-1].facts, hospital="jinan_first"))
    answers = []
    for number, (path, value) in enumerate(_DEFECTS):
        message = json.loads(json.dumps(good))
        _mark(message, number)
        message["identifier"]["value"] = f"MARKED{number:03d}"
        for entry in message["entry"]:
            if entry["resource"]["resourceType"] == "MedicationRequest":
                entry["resource"]["groupIdentifier"]["value"] = f"MARKEDRX{number:03d}"
        _put(message, path, value)
        answers += [_post(city, message), _post(city, message)]
    answers += [_post(city, message) for message in _with_words(good)]
    for raw in (f'{{"name": "{NAME}", broken'.encode(), NAME.encode("gb18030"), f'["{NAME}", "{PHONE}"]'.encode()):
        answers.append(_post(city, raw))
    for slug, dialect in city.hospitals.items():
        if dialect != "fhir":
            answers += asyncio.run(_send_in(city, slug, dialect, plan.of(slug).prescriptions[-1].facts))
    answers.append(httpx.get(f"{city.urls['gateway']}/fhir/jinan_first/requests/{PHONE}", trust_env=False,
                             headers={"Authorization": f"Bearer {city.keys['jinan_first token']}"}).content)
    return answers


async def _send_in(city: SandboxCity, slug: str, dialect: str, facts: Facts) -> list[bytes]:
    """In another dialect: two that are broken, and three with a drug nobody has mapped."""
    installed = city._installed[slug]
    line = Line(slug, city.urls["gateway"], installed.options, installed.secrets, lambda _key, _report: None)
    speech = speaker(dialect, line)
    # Numbers that its hospital neither offers for poll nor has used.
    marked = [replace(facts, key=f"MARKED{number}", external_id=f"MARKEDRX{number}", name=NAME, phone=PHONE)
              for number in (101, 102, 104, 105, 107)]
    drug = replace(facts.medicines[0], drug="NOBODYS")
    # A code nobody has mapped; the same with a person where the hospital says what it calls the drug.
    unknown = [replace(marked[2], medicines=(drug,)),
               *(replace(one, medicines=(replace(drug, name=name),))
                 for one, name in zip(marked[3:], (NAME, f"药 {PHONE}"), strict=True))]
    heard = []
    bodies = (speech.broken(marked[0], 1), speech.broken(marked[1], 2), *map(speech.prescription, unknown))
    for number, body in enumerate(bodies, 1):
        try:
            async with asyncio.timeout(60):
                while (answer := await speech.send(body)) is None:
                    await asyncio.sleep(0.5)
        except TimeoutError:
            raise SystemExit(f"{slug}: message {number} of {len(bodies)} was not answered within a minute") from None
        heard.append(answer.body)
    return heard


def _with_words(good: dict[str, object]) -> list[dict[str, object]]:
    """Messages a prescriber wrote into where the contract has room for words, each refused for something else."""
    messages = []
    for number, (path, value) in enumerate(_WORDS):
        message = json.loads(json.dumps(good))
        message["identifier"]["value"] = f"WORDED{number:03d}"
        for entry in message["entry"]:
            if entry["resource"]["resourceType"] == "MedicationRequest":
                entry["resource"]["groupIdentifier"]["value"] = f"WORDEDRX{number:03d}"
        _put(message, path, value)
        _put(message, ("Patient", "birthDate"), "not a date")
        messages.append(message)
    return messages


def _lived_through(city: SandboxCity) -> list[str]:
    """Prescriptions full of words, taken and filled by chains that put people where their numbers go; their ids."""
    for chain in CHAINS:
        httpx.post(f"{city.urls[chain]}/sandbox/faults", json={"tells": [PHONE, NAME]}, trust_env=False).raise_for_status()
    plan = Plan.load(city.folder)
    written = next(one.facts for one in plan.prescriptions if one.scenario == "settled_home")
    # People who got nothing today: what they have at home changes nothing.
    people = [one.facts for one in plan.prescriptions if one.expected_money == "none"][:4]
    ids = []
    for number, who in enumerate(people):
        now = datetime.now(UTC)
        facts = replace(
            written, hospital="jinan_first", key=f"FULL{number}", external_id=f"FULLRX{number}", issued=now, sent=now,
            name=who.name, id_number=who.id_number, male=who.male, born=who.born, phone=who.phone, address=who.address,
            insutype=who.insutype, insured_place=who.insured_place, chronic_disease="", note=WORDS, extend_reason=WORDS,
            allergy_words=(WORDS,), no_known_allergies=False,
            medicines=tuple(replace(one, directions=f"{one.directions}，{WORDS}", note=WORDS) for one in written.medicines))
        answer = json.loads(_post(city, fhir.bundle(facts)))
        if answer["resourceType"] != "Task":
            raise SystemExit(f"a prescription with words was not taken: {answer}")
        ids.append(answer["identifier"][0]["value"])
    city.wait_until(lambda: all(city.dossier(rx_id)["status"] in ("settled", "closed") for rx_id in ids),
                    "prescriptions full of words", seconds=240)
    return ids


WORDS = "隐私标记自由文字"
_WORDS: list[tuple[tuple[object, ...], object]] = [
    (("MedicationRequest", "dosageInstruction", 0, "text"), f"饭后服用 {WORDS}"),
    (("MedicationRequest", "note"), [{"text": WORDS}]),
    (("Condition", "code", "text"), WORDS),
]
RESTS = {"prescription.content"}
"""Where free words may be found, and nowhere else but in the archive."""

_DEFECTS: list[tuple[tuple[object, ...], object]] = [
    (("Patient", "birthDate"), f"not a date {NAME}"),
    (("Patient", "gender"), NAME),
    (("Patient", "identifier", 0, "value"), f"{PHONE}{NAME}"),
    (("Patient", "telecom"), PHONE),
    (("Patient", "name"), {"text": NAME}),
    (("Encounter", "status"), NAME),
    (("MedicationRequest", "dosageInstruction"), [{"text": NAME}]),
    (("MedicationRequest", "authoredOn"), f"{NAME}"),
    (("MedicationRequest", NAME), PHONE),
    (("Coverage", "type"), NAME),
    (("Condition", "code", "coding", 0, "code"), f"{NAME}{PHONE}"),
]
"""Where the marker goes instead of a value; each of these is refused for a different reason."""


def _mark(message: dict[str, object], number: int) -> None:
    for entry in message["entry"]:  # type: ignore[attr-defined]
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"][0]["text"] = NAME
            resource["telecom"] = [{"system": "phone", "value": PHONE}]
            resource["identifier"][0]["value"] = _id_number(number)


def _id_number(number: int) -> str:
    return resident_id("370102", date(EARLIEST, 1, 1), 100 + number)


def _markers(folder: Path) -> list[str]:
    """What must not be found: the planted ones, and everybody's name, id number and phone of the day's own people."""
    people = json.loads((folder / "insurer" / "people.json").read_text(encoding="utf-8"))
    facts = [planned.facts for planned in Plan.load(folder).prescriptions]
    phones, addresses = {one.phone for one in facts}, {one.address for one in facts}
    return sorted({NAME, PHONE, *(_id_number(number) for number in range(len(_DEFECTS))),
                   *(person["id_number"] for person in people), *(person["name"] for person in people), *phones, *addresses})


def _pages(city: SandboxCity, paths: Sequence[str] = (), but: Sequence[str] = ()) -> list[bytes]:
    """These pages, or everything an operator can look at `but` what is said of these prescriptions."""
    headers = {"Authorization": f"Bearer {city.keys['operator']}"}
    rows = [row for row in city.prescriptions() if row["id"] not in but]
    paths = paths or ["/", "/rx", "/review", "/mapping", "/api/ops/board", "/api/ops/ledger", "/api/ops/discrepancies",
             "/api/ops/notices",
             *(f"/rx/{row['id']}" for row in rows), *(f"/api/rx/{row['id']}" for row in rows),
             *(f"/api/rx/{row['id']}/history" for row in rows)]
    with httpx.Client(base_url=city.urls["gateway"], headers=headers, trust_env=False, timeout=30) as client:
        client.post("/sign-in", data={"code": city.keys["operator"]}, headers={"Origin": city.urls["gateway"]})
        answers = [client.get(path) for path in paths]
    if any(answer.status_code >= 400 for answer in answers):
        raise SystemExit(f"a page could not be read: {[a.status_code for a in answers if a.status_code >= 400][:5]}")
    return [answer.content for answer in answers]


def _in_database(path: Path, markers: list[str]) -> list[str]:
    """table.column of every cell with a marker in it, blobs included."""
    found = []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = [name for name, in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            try:
                cursor = connection.execute(f'SELECT * FROM "{table}"')
            except sqlite3.DatabaseError:
                continue
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if _marked(value, markers):
                        found.append(f"{table}.{column}")
    return found


def _in_files(paths: Iterable[Path], markers: list[str]) -> list[str]:
    return [path.name for path in paths if path.is_file() and _marked(path.read_bytes(), markers)]


def _in_bytes(texts: Iterable[bytes], markers: list[str]) -> list[str]:
    return [f"#{number}" for number, text in enumerate(texts) if _marked(text, markers)]


def _marked(value: object, markers: list[str]) -> bool:
    if value is None or isinstance(value, int | float):
        return False
    raw = value if isinstance(value, bytes) else str(value).encode()
    spellings = [raw]
    if b"\\u" in raw:
        # JSON may spell a name in escapes.
        spellings.append(raw.decode("utf-8", "replace").encode().decode("unicode_escape", "replace").encode("utf-8", "replace"))
    return any(marker.encode() in spelling for marker in markers for spelling in spellings)


def _put(message: dict[str, object], path: tuple[object, ...], value: object) -> None:
    resource = next(entry["resource"] for entry in message["entry"]  # type: ignore[attr-defined]
                    if entry["resource"]["resourceType"] == path[0])
    for part in path[1:-1]:
        resource = resource[part]
    resource[path[-1]] = value


def _post(city: SandboxCity, message: object) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
    return httpx.post(f"{city.urls['gateway']}/fhir/jinan_first/Bundle", content=body, trust_env=False, timeout=20, headers={
        "Authorization": f"Bearer {city.keys['jinan_first token']}", "Content-Type": "application/fhir+json"}).content


if __name__ == "__main__":
    sys.exit(main())

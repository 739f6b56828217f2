"""Mutations of HL7 v2: fields, components, repetitions, segments."""

from collections.abc import Callable, Iterator

from tests.prove.mutations.mutation import MARK, Kind, Mutation, Values

MOST_FIELDS = 44
"""The longest segment of these messages has as many."""
SEGMENTS = (
    f"NTE|1|P|{MARK}", f"AL1|1|DA|^{MARK}", f"IAM|1|DA|^{MARK}|SV|皮疹|A", f"NK1|1|{MARK}",
    f"OBX|1|ST|X99^{MARK}||1|kg|||||F", "DG1|1||I10.x00^高血压^99ICD10CN||20261120|A", f"PV2|||{MARK}", f"PD1|||{MARK}",
    f"RXC|A|{MARK}|1|g", f"CTI|{MARK}", f"ZZZ|{MARK}", "DSC|next", f"PRT|1|AD||{MARK}", f"FT1|1|||20261122||CG|{MARK}", "BLG|D",
    f"IN2|{MARK}", f"ARV|1|R|{MARK}", f"TQ2|1|S|{MARK}", f"RXD|1|{MARK}|20261122|1", f"CDO|1|{MARK}", f"ROL|1|AD|CP|{MARK}",
    f"PR1|1||{MARK}", "EVN|O11|20261122",
)
"""What may also stand in such a message, with something said in it."""


def mutations(raw: bytes, values: Values) -> Iterator[Mutation]:
    """Every part changed, doubled and emptied; every empty field filled; every segment doubled, taken out, and others added."""
    encoding, segments = read(raw)

    def written(rows: list[str]) -> bytes:
        return ("\r".join(rows) + "\r").encode(encoding)

    for number, segment in enumerate(segments):
        name, fields = segment[:3], segment.split("|")
        shift = 1 if name == "MSH" else 0  # MSH-1 is the separator itself

        def put(field: int, text: str, number: int = number, fields: list[str] = fields) -> bytes:
            changed = [*fields, *[""] * (field + 1 - len(fields))]
            changed[field] = text
            return written([*segments[:number], "|".join(changed), *segments[number + 1:]])

        for at, field in enumerate(fields):
            if at == 0 or (name == "MSH" and at == 1):
                continue
            here = f"{name}-{at + shift}"
            if not field:
                yield Mutation(Kind.ADDED, here, put(at, MARK), "an empty field filled")
                continue
            for place, repetition, _ in _repetitions(here, field):
                yield Mutation(Kind.DOUBLED, place, put(at, f"{field}~{_other(repetition)}"), "a repetition behind")
                yield Mutation(Kind.DOUBLED, place, put(at, f"{_other(repetition)}~{field}"), "a repetition before")
            yield Mutation(Kind.EMPTIED, here, put(at, ""), "empty")
            yield Mutation(Kind.EMPTIED, here, put(at, '""'), "deleted")
            for place, repetition, among in _repetitions(here, field):
                twelfth = repetition + "^" * (11 - repetition.count("^")) + MARK
                if repetition.count("^") < 11:
                    yield Mutation(Kind.ADDED, f"{place}.12", put(at, among(twelfth)), "a twelfth component")
                yield Mutation(Kind.ADDED, f"{place}.1", put(at, among(_subcomponent(repetition))), "a subcomponent")
                for part, value, among_parts in _components(repetition):
                    there = f"{place}.{part}"
                    for other in values.others(f"{here}.{part}", value):
                        yield Mutation(Kind.CHANGED, there, put(at, among(among_parts(other))))
                    yield Mutation(Kind.EMPTIED, there, put(at, among(among_parts(""))), "empty")
        for at in range(len(fields), MOST_FIELDS + 1):
            yield Mutation(Kind.ADDED, f"{name}-{at + shift}", put(at, MARK), "a field behind the last")
        if name != "MSH":
            # One of several is not the only one: what its absence means is another question.
            several = sum(it.startswith(name) for it in segments) > 1
            fewer = [*segments[:number], *segments[number + 1:]]
            yield Mutation(Kind.EMPTIED, f"{name}[*]" if several else name, written(fewer), "left out")
        for new in (*([_other_segment(segment)] if name != "MSH" else ()), *SEGMENTS):
            more = [*segments[:number + 1], new, *segments[number + 1:]]
            yield Mutation(Kind.DOUBLED if new[:3] == name else Kind.ADDED, new[:3], written(more), f"behind {name}")


def places(raw: bytes) -> Iterator[tuple[str, str]]:
    for segment in read(raw)[1]:
        fields = segment.split("|")
        shift = 1 if segment.startswith("MSH") else 0
        for at, field in enumerate(fields):
            if at and field:
                for repetition in field.split("~"):
                    yield from ((f"{segment[:3]}-{at + shift}.{part}", value) for part, value, _ in _components(repetition))


def read(raw: bytes) -> tuple[str, list[str]]:
    """Encoding and segments."""
    encoding = "gb18030" if b"GB 18030" in raw.partition(b"\r")[0] else "utf-8"
    return encoding, [row for row in raw.decode(encoding).replace("\n", "\r").split("\r") if row]


_KINDS = {"PID-3": (5,), "PID-5": (7, 8), "PID-11": (7,), "PID-13": (2, 3), "PID-14": (2, 3), "NK1-2": (7, 8), "NK1-33": (5,)}
"""Field -> the components that say of which kind one of its repetitions is."""


def _repetitions(here: str, field: str) -> Iterator[tuple[str, str, Callable[[str], str]]]:
    """Place, content, and how the field is written with another content.

    One of several is told by its kind, `PID-5[L^A]`; where the standard names no kind, by nothing.
    """
    repetitions = field.split("~")
    for number, repetition in enumerate(repetitions):
        parts = repetition.split("^")
        kind = "^".join(parts[it - 1] for it in _KINDS.get(here, ()) if it <= len(parts))
        place = f"{here}[{kind}]" if kind and len(repetitions) > 1 else here

        def among(other: str, number: int = number) -> str:
            return "~".join([*repetitions[:number], other, *repetitions[number + 1:]])

        yield place, repetition, among


def _components(repetition: str) -> Iterator[tuple[int, str, Callable[[str], str]]]:
    """Number and value of each component that says something, and how the repetition is written with another value."""
    parts = repetition.split("^")
    for part, value in enumerate(parts):
        if value:
            def among(other: str, part: int = part) -> str:
                return "^".join([*parts[:part], other, *parts[part + 1:]])

            yield part + 1, value, among


def _other(field: str) -> str:
    first, *rest = field.split("^")
    return "^".join([first + MARK, *rest])


def _subcomponent(field: str) -> str:
    first, mark, rest = field.partition("^")
    return f"{first}&{MARK}&{MARK}{mark}{rest}"


def _other_segment(segment: str) -> str:
    fields = segment.split("|")
    last = max(at for at, field in enumerate(fields) if field)
    fields[last] = _other(fields[last])
    return "|".join(fields)

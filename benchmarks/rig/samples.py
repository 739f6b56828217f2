"""Where a process spends its CPU: stack samples by CPU time, so that nothing is slowed down by being counted."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

EVERY = 0.005
"""CPU seconds between two samples."""
ROOT = Path(__file__).parents[2]


@dataclass
class Samples:
    """CPU samples of the main thread, by where they were taken and by whose work it was."""

    functions: "Counter[str]" = field(default_factory=Counter)
    """`package:module.function` at the top of the stack."""
    packages: "Counter[str]" = field(default_factory=Counter)
    """Package at the top of the stack."""
    work: "Counter[str]" = field(default_factory=Counter)
    """The nearest function of ours on the stack, also if it had called a library."""

    def take(self, _signal: int, frame: FrameType | None) -> None:
        top, ours = frame, ""
        while frame and not ours:
            package, name = _place(frame)
            ours = name if package == "ours" else ""
            frame = frame.f_back
        if top:
            package, name = _place(top)
            self.functions[f"{package}:{name}"] += 1
            self.packages[package] += 1
            self.work[ours or "the event loop and Prefect, outside of our functions"] += 1

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"functions": self.functions, "packages": self.packages, "work": self.work}))


@contextmanager
def sampling(path: Path | None) -> Iterator[Callable[[], None]]:
    """Sample from the call of what it gives until the end of the block, and save to `path`; None: do nothing."""
    if path is None:
        yield lambda: None
        return
    samples = Samples()

    def begin() -> None:
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)

    signal.signal(signal.SIGPROF, samples.take)
    try:
        yield begin
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        samples.save(path)


def summary(path: Path, top: int = 25) -> list[str]:
    """Lines to print: packages, our functions with all they called, functions by their own time."""
    summary_json = json.loads(path.read_text())
    lines = []
    for kind, heading in (("packages", "where the CPU is spent, by package"),
                          ("work", "on whose behalf: the nearest function of ours, with all it called"),
                          ("functions", "functions by their own time")):
        counted = Counter(summary_json[kind])
        total = counted.total() or 1
        lines.append(f"{heading} ({total} samples)")
        lines += [f"  {100 * n / total:5.1f} %  {name}" for name, n in counted.most_common(top)]
    return lines


def _place(frame: FrameType) -> tuple[str, str]:
    """Package and `module.function`; `ours` for this repository's product."""
    file, function = frame.f_code.co_filename, frame.f_code.co_name
    if "/site-packages/" in file:
        inside = file.partition("/site-packages/")[2]
        package = inside.partition("/")[0].removesuffix(".py")
        return package, f"{inside.removesuffix('.py').replace('/', '.')}.{function}"
    if file.startswith(str(ROOT)):
        inside = file.removeprefix(f"{ROOT}/").removesuffix(".py").replace("/", ".")
        package = "benchmark" if inside.startswith(("benchmarks", "tests")) else "ours"
        return package, f"{inside}.{function}"
    return "python", f"{Path(file).stem}.{function}"

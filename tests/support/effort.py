"""How much work a call does, counted: the same on a busy machine as on an idle one.

Counted are the lines of Python it runs, each as often as it runs. What runs in C is not seen, however long it takes (a
regular expression, a search in a text, libxml2); `./go prove hostile` measures the CPU time of whole messages.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def steps(call: Callable[[], object]) -> int:
    """Lines of Python that a call runs in this thread."""
    count = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def growth(read: Callable[[Any], object], half: object, whole: object) -> float:
    """How many times as much work it is to read the whole as to read a half: 2 in proportion, 4 by the square.

    The half is read once before, so that what is made at the first use does not count.
    """
    read(half)
    return steps(lambda: read(whole)) / steps(lambda: read(half))

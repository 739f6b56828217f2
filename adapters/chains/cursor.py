"""Our place in a list of updates that a chain keeps in order: it moves over an update when that is in, and not before."""

from collections.abc import Sequence
from itertools import takewhile

from adapters.messages import Reply


class Cursor:
    """Which of the updates offered are in. The place itself is kept by the chain; this may be lost with the process.

    An update that fails holds the place and no update behind it. Those behind it that are in are not taken again by this
    process. Another process is offered them again, and they count once by their event ids.
    """

    def __init__(self) -> None:
        self._offered: list[int] = []
        """Positions behind the place, in order."""
        self._answered: dict[int, Reply] = {}

    def offered(self, positions: Sequence[int]) -> None:
        """What the chain has behind the place now: what it does not offer any more was passed by another process."""
        self._offered = sorted(set(positions))
        self._answered = {position: reply for position, reply in self._answered.items() if position in set(positions)}

    def is_in(self, position: int) -> bool:
        return position in self._answered

    def answered(self, position: int, reply: Reply) -> None:
        """An update is in, or was refused for good."""
        self._answered[position] = reply

    def passable(self) -> dict[int, Reply]:
        """The updates that the place may move over, by position in order, with our answers; the last is the new place."""
        return {position: self._answered[position] for position in takewhile(self.is_in, self._offered)}

    def passed(self, place: int) -> None:
        """The chain keeps the new place."""
        self._offered = [position for position in self._offered if position > place]
        self._answered = {position: reply for position, reply in self._answered.items() if position > place}

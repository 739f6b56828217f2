"""The threads in which people's pages are made. They are apart from those of the doors: a crowd of messages does not
keep a pharmacist from the review desk."""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi.routing import APIRoute

P = ParamSpec("P")
T = TypeVar("T")

THREADS = CapacityLimiter(12)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The outcome of a blocking call, in one of people's threads."""
    return await to_thread.run_sync(partial(call, *args, **kwargs), limiter=THREADS)


class PeoplesRoute(APIRoute):
    """A route whose blocking function runs in people's threads and not in those all doors share."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint if inspect.iscoroutinefunction(endpoint) else _threaded(endpoint), **options)


def _threaded(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(endpoint)
    async def elsewhere(*args: Any, **kwargs: Any) -> Any:
        return await in_thread(endpoint, *args, **kwargs)

    return elsewhere

"""Between the platform and a hospital's real test address: every report goes there, and counts only if it was taken."""

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN = ("/health", "/book", "/progress", "/sandbox/")
"""What is asked of the simulated hospital itself."""
_HOP_BY_HOP = frozenset({"host", "content-length", "connection", "transfer-encoding", "keep-alive"})


class Relay:
    """ASGI middleware: passes a request on as it is; our own door hears it only after a 2xx, and the answer is theirs."""

    def __init__(self, app: ASGIApp, endpoint: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._app = app
        self._client = httpx.AsyncClient(base_url=endpoint, timeout=15, trust_env=False, transport=transport)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OWN):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        path = scope["path"] + (f"?{scope['query_string'].decode()}" if scope.get("query_string") else "")
        try:
            answer = await self._client.request(scope["method"], path, content=body, headers=headers)
        except httpx.HTTPError:
            await Response(status_code=502)(scope, receive, send)
            return
        if answer.is_success:
            await self._app(scope, _again(body), _nowhere)
        kept = {name: value for name, value in answer.headers.items()
                if name.lower() not in _HOP_BY_HOP | {"content-encoding"}}
        await Response(answer.content, answer.status_code, kept)(scope, receive, send)


def _again(body: bytes) -> Receive:
    """The same body for a second reader."""
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _nowhere(_: Message) -> None:
    """Our own answer; theirs is the one that counts."""

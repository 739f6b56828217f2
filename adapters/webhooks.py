"""A chain's address for webhooks: messages signed by the Standard Webhooks convention, with each key that is valid.

The convention: https://www.standardwebhooks.com. The headers are `webhook-id`, `webhook-timestamp` (seconds) and
`webhook-signature`. The last holds a signature for each key, so that a chain can change its key at any time while two are valid.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from domain.errors import NeedsOperator
from infra.http import Breaker, Client, HttpTransport, Request, Transport

KEYS = ("webhook", "webhook_old")
"""Purposes of the secrets: the key in use, and while keys are changed the one before it."""
KEY_BYTES = 24
"""Of a key, at least, by the convention."""
PREFIX = "whsec_"
TIMEOUT_SECONDS = 15.0
PER_SECOND = 20.0


def open_endpoint(chain: str, address: str, secrets: Mapping[str, str], client: Client) -> "Endpoint":
    """The address of a chain, ready to send. Raises `NeedsOperator` for keys that are missing or wrong."""
    # The pauses between attempts spare an address that fails; a breaker would use attempts up without asking.
    line = HttpTransport(f"webhook:{chain}", address, timeout=TIMEOUT_SECONDS, attempts=1, per_second=PER_SECOND,
                         breaker=Breaker(failures=2**31), client=client)
    return Endpoint(line, keys_of(chain, secrets))


def keys_of(chain: str, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """The chain's keys, the one in use first. Raises `NeedsOperator` for keys that are missing or wrong."""
    keys = tuple(secrets[purpose] for purpose in KEYS if secrets.get(purpose))
    if not secrets.get(KEYS[0]):
        raise NeedsOperator(f"chains/{chain}: its webhooks have no key: set SANYI_PARTNER_SECRETS__{chain.upper()}__WEBHOOK",
                            code="no_webhook_key")
    for key in keys:
        try:
            long_enough = len(base64.b64decode(key.removeprefix(PREFIX), validate=True)) >= KEY_BYTES
        except (binascii.Error, ValueError):
            long_enough = False
        if not long_enough:
            raise NeedsOperator(f"chains/{chain}: a webhook key is {PREFIX} and {KEY_BYTES} random bytes or more in base64",
                                code="bad_webhook_key")
    return keys


class Endpoint:
    """Where a chain takes webhooks."""

    def __init__(self, transport: Transport, keys: Sequence[str]) -> None:
        self._transport = transport
        self._signers = [Webhook(key) for key in keys]

    async def send(self, id: str, body: bytes, now: datetime) -> int:
        """Send one message; returns the HTTP status of the answer. Raises `Transient` and `NeedsOperator`.

        `now` is the time of the attempt, which a chain compares with its clock.
        """
        response = await self._transport.send(Request(
            "POST", "", body, self.headers(id, body, now), repeatable=True, operation="POST webhook",
            considered=lambda _: True))
        return response.status

    def headers(self, id: str, body: bytes, now: datetime) -> dict[str, str]:
        """The headers by which a chain knows the message and its sender."""
        signatures = " ".join(signer.sign(id, now, body.decode()) for signer in self._signers)
        return {"webhook-id": id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signatures,
                "content-type": "application/json"}

"""Single sign-on at an OpenID Connect provider: the authorization code flow with PKCE, state and nonce; the id token verified."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from domain.errors import NeedsOperator, OutcomeUnknown, RxError
from infra.http import Client, HttpTransport, Request, open_client
from infra.settings import OidcSettings, loopback

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Signatures that are accepted: never `none`, never one with a shared key."""
LEEWAY_SECONDS = 60
"""How far the provider's clock may be from ours."""


@dataclass(frozen=True)
class Attempt:
    """What a sign-in begins with; it comes back with the browser, sealed in a cookie."""

    state: str
    nonce: str
    verifier: str = field(repr=False)
    at: int
    """Seconds since 1970."""
    next: str = ""


@dataclass
class Provider:
    """The provider of the settings. `redirect` is our own address that it sends people back to."""

    settings: OidcSettings
    redirect: str
    now: Callable[[], datetime]

    def attempt(self, next: str) -> Attempt:
        return Attempt(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), int(self.now().timestamp()),
                       next)

    async def address(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in. Raises `Transient` or `NeedsOperator`."""
        async with open_client() as client:
            endpoint = (await self._metadata(client))["authorization_endpoint"]
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        query = {"response_type": "code", "client_id": self.settings.client_id, "redirect_uri": self.redirect, "scope": "openid",
                 "state": attempt.state, "nonce": attempt.nonce, "code_challenge_method": "S256",
                 "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    async def subject(self, attempt: Attempt, code: str) -> str:
        """Who has signed in there, by the provider's own id of them.

        Raises `NeedsOperator` (code `oidc`) for an answer that cannot be trusted, and `Transient`.
        """
        async with open_client() as client:
            metadata = await self._metadata(client)
            form = urlencode({"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect,
                              "code_verifier": attempt.verifier})
            account = f"{self.settings.client_id}:{self.settings.client_secret.get_secret_value()}"
            headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json",
                       "authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
            try:
                answer = await self._ask(client, metadata["token_endpoint"], "POST", form.encode(), headers)
            except OutcomeUnknown:
                raise _untrusted("no answer") from None  # The code may be used up: the person begins again.
            keys = await self._ask(client, metadata["jwks_uri"])
        return self.verified(str(answer.get("id_token", "")), keys, attempt.nonce)

    def verified(self, token: str, keys: dict[str, Any], nonce: str) -> str:
        """The subject of an id token. Raises `NeedsOperator` (code `oidc`) unless it is signed by the provider, for us, now."""
        claims_of_ours = jwt.JWTClaimsRegistry(
            now=lambda: int(self.now().timestamp()), leeway=LEEWAY_SECONDS, iss={"essential": True, "values": self._issuers()},
            aud={"essential": True, "value": self.settings.client_id}, exp={"essential": True}, iat={"essential": True},
            sub={"essential": True}, nonce={"essential": True, "value": nonce})
        try:
            claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS)).claims  # type: ignore[arg-type]
            claims_of_ours.validate(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise _untrusted(type(error).__name__) from None
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != self.settings.client_id:
            raise _untrusted("azp")
        return str(claims["sub"])

    def _issuers(self) -> list[str]:
        """The settings drop a slash at the end, with which some providers write their name."""
        return [self.settings.issuer, f"{self.settings.issuer}/"]

    async def _metadata(self, client: Client) -> dict[str, Any]:
        metadata = await self._ask(client, f"{self.settings.issuer}/.well-known/openid-configuration")
        if metadata.get("issuer") not in self._issuers():
            raise _untrusted("issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            address = str(metadata.get(name, ""))
            if not address.startswith("https://") and not (address.startswith("http://") and loopback(address)):
                raise _untrusted(name)
        return metadata

    async def _ask(self, client: Client, address: str, method: str = "GET", body: bytes = b"",
                   headers: dict[str, str] | None = None) -> dict[str, Any]:
        parts = urlsplit(address)
        transport = HttpTransport("oidc", f"{parts.scheme}://{parts.netloc}", client=client)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = await transport.send(Request(method, path, body, headers or {}, repeatable=method == "GET", operation="oidc"))
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if answer.status != 200 or not isinstance(content, dict):
            raise _untrusted(f"status {answer.status}")
        return content


def _untrusted(why: str) -> RxError:
    return NeedsOperator(f"the OIDC provider's answer cannot be trusted: {why}", code="oidc")

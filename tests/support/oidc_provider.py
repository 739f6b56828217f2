"""A small OpenID Connect provider: everybody who comes is signed in at once, as whoever the test says."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "sanyi", "secret-of-ours-there"


@dataclass
class Idp:
    """Its application, and how it may be wrong."""

    issuer: str = ""
    now: Callable[[], float] = time.time
    subject: str = "subject-1"
    claims: dict[str, Any] = field(default_factory=dict)
    """Claims in place of the right ones."""
    metadata: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RS256"
    stranger: bool = False
    """Signs with a key that it does not publish."""
    requests: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    other: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def discovery() -> Response:
            return JSONResponse({"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                                 "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys"} | self.metadata)

        @app.get("/keys")
        def keys() -> Response:
            return JSONResponse(KeySet([self.key]).as_dict(private=False))

        @app.get("/authorize")
        def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            self.requests.append(asked)
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 303)

        @app.post("/token")
        async def token(request: Request) -> Response:
            fields = {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}
            asked = self.codes.pop(fields.get("code", ""), None)
            digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            account = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if asked is None or challenge != asked["code_challenge"] or request.headers["authorization"] != f"Basic {account}" \
                    or fields["redirect_uri"] != asked["redirect_uri"] or asked["code_challenge_method"] != "S256":
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])})

        return app

    def id_token(self, nonce: str) -> str:
        at = int(self.now())
        right = {"iss": self.issuer, "aud": CLIENT_ID, "sub": self.subject, "nonce": nonce, "iat": at, "exp": at + 300}
        claims = {name: value for name, value in (right | self.claims).items() if value is not None}
        if self.algorithm == "none":
            parts = (b'{"alg":"none"}', str(claims).replace("'", '"').encode(), b"")
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
        return jwt.encode({"alg": self.algorithm, "kid": "k1"}, claims, self.other if self.stranger else self.key)

"""Who may ask: the right host name, the same origin, and the token that `serve` printed.

The three belong together. A page elsewhere on the web can send requests to this machine: by a
name that it lets point here (so Host must be a name of this machine), or straight (so Origin must
be our own). Other users of this machine can connect, too (so there is a token).
"""

import ipaddress
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
EVERYWHERE = {"0.0.0.0", "::"}
READING = {"GET", "HEAD"}

HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of another; `token` None lets everybody on the host in."""

    application: Application
    token: str | None
    host: str = "127.0.0.1"  # that the server is bound to
    cookie: str = "vitreous"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or let in and set the cookie."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, scope, *refusal)
        elif scope["path"] == "/" and self._given_in_address(scope):
            await self._let_in(send)
        elif not self._knows_token(headers):
            line = "open the address that `vitreous serve` printed: it carries the token"
            await _answer(send, scope, 401, line)
        else:
            await self.application(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_own_name(host):
            return 403, f"'{host}' is no name of this server; use the address that it printed"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"a page of {origin} may not ask this server"
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in READING:
            return 403, "a page from elsewhere may not ask this server"
        if origin is None and scope["method"] not in READING and "authorization" not in headers:
            return 403, "say where the request comes from (Origin), or give the token in a header"
        return None

    def _is_own_name(self, host: str) -> bool:
        """Whether a Host header names this machine; its port may be that of a tunnel."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in LOOPBACK_NAMES or name == self.host:
            return True
        if self.host not in EVERYWHERE:
            return False
        # a name can be made to point anywhere, an address cannot
        return name == socket.gethostname().lower() or _is_address(name)

    def _given_in_address(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return self.token is not None and _same(given, self.token)

    def _knows_token(self, headers: dict[str, str]) -> bool:
        if self.token is None:
            return True
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(bearer, self.token):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and _same(morsel.value, self.token)

    async def _let_in(self, send: Send) -> None:
        """Keep the token in a cookie, and take it out of the address."""
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), *HEADERS]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, scope: Scope, status: int, line: str) -> None:
    for_program = scope["path"].startswith("/api/")
    body = json.dumps({"error": line}) if for_program else line + "\n"
    kind = b"application/json" if for_program else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body.encode()})

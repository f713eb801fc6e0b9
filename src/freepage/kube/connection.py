"""Sending calls to one API server: as whom, with which limits and retries, and what a failure means."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from freepage.kube.errors import (
    CertificateError,
    ClusterError,
    ForbiddenError,
    LoginError,
    NotConnectedError,
    SilentError,
    UnreachableError,
)
from freepage.kube.login import resolve_login
from freepage.kube.refusals import build_refusal
from freepage.kube.retries import Retries, retry
from freepage.kube.rights import Rights

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping

    from freepage.kube.call import Call
    from freepage.kube.errors import Denial
    from freepage.kube.login import Login, ResolvedLogin
    from freepage.kube.resources import Object

    HintDenial = Callable[[Denial], str]

CONNECT_LIMIT_S = 10.0
# A login that was resolved anew and is the same as before is not for so long.
RENEWAL_PAUSE_S = 10.0
# A peer that vanished is noticed by the kernel after about 30 s, on streams that have no pings too.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)


class Connection:
    """The connection of one login to one server, for any number of calls and streams at once.

    hint_denial: returns the hint for what RBAC denies.
    """

    def __init__(
        self,
        login: Login,
        resolved: ResolvedLogin,
        client: httpx.AsyncClient,
        hint_denial: HintDenial | None = None,
    ) -> None:
        self.server = resolved.server
        self.rights = Rights()
        self._login = login
        self._resolved = resolved
        self._client = client
        self._hint_denial = hint_denial
        self._renewing = asyncio.Lock()
        self._unchanged_s = float("-inf")

    async def ask(self, call: Call, retries: Retries | None = None) -> Object:
        """Send a call, repeated where that is safe, and return the JSON object that answers it."""
        body = await self.fetch(call, retries)
        try:
            answer = json.loads(body) if body.strip() else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ClusterError(
                f"{self.server} does not answer as a Kubernetes API does ({call})",
                hint="is this the address of the API, and not of a web console or a proxy?",
            )
        return answer

    async def fetch(self, call: Call, retries: Retries | None = None) -> bytes:
        """Send a call, repeated where that is safe, and return the body of the answer."""

        async def attempt() -> bytes:
            with self._translated(call):
                async with asyncio.timeout(call.limit_s):
                    response = await self._send(call)
                    try:
                        return await response.aread()
                    finally:
                        await response.aclose()

        # What is gone already is no less gone.
        return await retry(attempt, safe=call.method in {"GET", "DELETE"}, retries=retries)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Send a call once and yield its answer piece by piece."""
        response = await self._open(call, {"Accept-Encoding": "identity"})
        try:
            yield self._read_pieces(call, response)
        finally:
            await response.aclose()

    async def upgrade(self, call: Call, headers: Mapping[str, str], *, safe: bool) -> httpx.Response:
        """Upgrade a call to another protocol; the caller closes the response."""
        response = await retry(lambda: self._open(call, headers), safe=safe)
        if response.status_code == 101:
            return response
        await response.aclose()
        raise ClusterError(
            f"{call}: {self.server} does not speak websockets there", status=response.status_code
        )

    async def _open(self, call: Call, headers: Mapping[str, str]) -> httpx.Response:
        with self._translated(call):
            async with asyncio.timeout(call.limit_s):
                return await self._send(call, headers)

    async def _read_pieces(self, call: Call, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        with self._translated(call):
            async for piece in response.aiter_bytes():
                yield piece

    async def _send(self, call: Call, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a call with the login, renewed once after 401; the body of the response is still to be read."""
        token = self._resolved.token
        response = await self._send_as(token, call, headers or {})
        if response.status_code == 401 and await self._renew(token):
            await response.aclose()
            response = await self._send_as(self._resolved.token, call, headers or {})
        self.rights.note_answer(call, response.status_code)
        if response.status_code < 300:
            return response
        try:
            body = await response.aread()
        finally:
            await response.aclose()
        raise self._refuse(call, response, body)

    def _refuse(self, call: Call, response: httpx.Response, body: bytes) -> ClusterError:
        refusal = build_refusal(call, response.status_code, body, self._resolved)
        refusal.retry_after_s = _read_retry_after(response)
        refusal.early = self.rights.is_early(call, refusal)
        if isinstance(refusal, ForbiddenError) and refusal.denial and self._hint_denial:
            refusal.hint = self._hint_denial(refusal.denial)
        return refusal

    async def _send_as(self, token: str | None, call: Call, headers: Mapping[str, str]) -> httpx.Response:
        own = [("Accept", "application/json, */*"), *self._resolved.impersonation, *headers.items()]
        if token:
            own.append(("Authorization", f"Bearer {token}"))
        if call.body is not None:
            own.append(("Content-Type", call.content_type))
        name = self._resolved.tls_server_name
        request = self._client.build_request(
            call.method,
            self.server + call.path,
            params=call.query,
            headers=own,
            content=None if call.body is None else json.dumps(call.body).encode(),
            timeout=httpx.Timeout(call.limit_s, read=call.quiet_s, connect=CONNECT_LIMIT_S, pool=None),
            extensions={"sni_hostname": name} if name else None,
        )
        return await self._client.send(request, stream=True)

    async def _renew(self, token: str | None) -> bool:
        """Resolve the login anew, unless another call has since; return whether its token is another."""
        async with self._renewing:
            pausing = time.monotonic() - self._unchanged_s < RENEWAL_PAUSE_S
            if self._resolved.token == token and not pausing:
                resolved = await asyncio.to_thread(resolve_login, self._login)
                # A login that means another server by now is not for this one to see.
                self._resolved = resolved if resolved.server == self.server else self._resolved
                if self._resolved.token == token:
                    self._unchanged_s = time.monotonic()
            return self._resolved.token != token

    @contextmanager
    def _translated(self, call: Call) -> Iterator[None]:
        """Raise the errors of httpx as UnreachableError."""
        try:
            yield
        except (httpx.TransportError, TimeoutError) as error:
            described = self._describe(call, error)
            if not isinstance(described, SilentError | CertificateError):
                self.rights.note_away()
            raise described from error

    def _describe(self, call: Call, error: Exception) -> UnreachableError:
        cause = _find_cause(error)
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", None) or cause.reason or cause
            return CertificateError(f"{self.server}: {reason} (TLS)", hint=self._hint_ca())
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            proxy = re.sub("//.*@", "//", self._resolved.proxy or "")
            way = f" through the proxy {proxy}" if proxy else ""
            also = (
                ", the proxy from its proxy-url or the environment (HTTPS_PROXY, NO_PROXY)" if proxy else ""
            )
            return NotConnectedError(
                f"{self.server} cannot be reached{way}: {_describe_cause(cause) or 'no answer'}",
                hint=f"the address is from {self._resolved.source}{also}",
            )
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return SilentError(f"{self.server} does not answer: {call}")
        return UnreachableError(f"{self.server} broke off: {call}: {_describe_cause(cause)}")

    def _hint_ca(self) -> str:
        if self._login.token_file and not self._login.ca_file:
            return "name the file of its CA with --ca-file"
        return f"is its CA the one in {self._login.ca_file or self._resolved.source}?"


@asynccontextmanager
async def open_connection(
    login: Login, hint_denial: HintDenial | None = None
) -> AsyncIterator[tuple[ResolvedLogin, Connection]]:
    """Resolve a login and open its connection, which keeps the context the login has now."""
    resolved = await asyncio.to_thread(resolve_login, login)
    async with _build_client(resolved) as client:
        yield resolved, Connection(replace(login, context=resolved.context), resolved, client, hint_denial)


def _build_client(login: ResolvedLogin) -> httpx.AsyncClient:
    try:
        transport = httpx.AsyncHTTPTransport(
            verify=login.tls,
            proxy=login.proxy,
            # Every console, attach and log is a connection of its own: there is no number of them to wait at.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            socket_options=KEEPALIVE,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise LoginError(f"{login.source}: the proxy for {login.server} cannot be used: {error}") from error
    return httpx.AsyncClient(transport=transport, headers={"User-Agent": "freepage"})


def _read_retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _find_cause(error: BaseException) -> BaseException:
    """Return the innermost error: httpx wraps the system's three times, and each address' in a group."""
    if isinstance(error, BaseExceptionGroup):
        return _find_cause(error.exceptions[0])
    inner = error.__cause__ or error.__context__
    return error if inner is None else _find_cause(inner)


def _describe_cause(error: BaseException) -> str:
    """Return the system's own message for an error: asyncio replaces it by another."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)

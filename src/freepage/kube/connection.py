"""Sending calls to one API server: as whom, with which limits and retries, and what a failure means."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from freepage.kube.address import hide_password
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
from freepage.kube.tls import explain_failure

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
        elif self._resolved.basic:
            own.append(("Authorization", f"Basic {self._resolved.basic}"))
        if call.body is not None:
            own.append(("Content-Type", call.content_type))
        request = self._client.build_request(
            call.method,
            self.server + call.path,
            params=call.query,
            headers=[(name.encode(), value.encode()) for name, value in own],
            content=None if call.body is None else json.dumps(call.body).encode(),
            timeout=httpx.Timeout(call.limit_s, read=call.quiet_s, connect=CONNECT_LIMIT_S, pool=None),
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
            reason, hint = explain_failure(cause, self._resolved.trusted)
            return CertificateError(f"{self.server}: {reason} (TLS)", hint=hint)
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            proxy = hide_password(self._resolved.proxy or "")
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
        httpx.URL(login.server)
        transport = httpx.AsyncHTTPTransport(
            verify=login.tls,
            proxy=_build_proxy(login),
            # Every console, attach and log is a connection of its own: there is no number of them to wait at.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            socket_options=KEEPALIVE,
        )
    except ImportError as error:
        raise LoginError(
            f"{login.source}: {hide_password(login.proxy or '')} speaks SOCKS, which takes the Python package socksio",
            hint="`pip install socksio` where freepage is installed, or name a proxy that speaks HTTP",
        ) from error
    except (ValueError, httpx.InvalidURL) as error:
        raise LoginError(f"{login.source}: {login.server} cannot be used: {error}") from error
    return httpx.AsyncClient(transport=transport, headers={"User-Agent": "freepage"})


def _build_proxy(login: ResolvedLogin) -> httpx.Proxy | None:
    if not login.proxy:
        return None
    proxy = httpx.Proxy(login.proxy)
    # One that is spoken to by TLS is trusted as the server is.
    return (
        httpx.Proxy(proxy.url, auth=proxy.auth, ssl_context=login.tls)
        if proxy.url.scheme == "https"
        else proxy
    )


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

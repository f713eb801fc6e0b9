"""Sending calls to one API server: who asks, for how long, how often, and what a failure means."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.errors import ClusterError, LoginError, UnreachableError
from freepage.kube.login import find_access
from freepage.kube.refusals import build_refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping

    import httpx

    from freepage.kube.call import Call
    from freepage.kube.login import Access, Login
    from freepage.kube.resources import Object

    T = TypeVar("T")

TRIES = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
CONNECT_LIMIT_S = 10.0
# A peer that vanished is noticed by the kernel after about 30 s, on streams that have no pings too.
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
)


class NotConnectedError(UnreachableError):
    """No connection came about, so nothing was asked of the server."""


class SilentError(UnreachableError):
    """No answer, or no next piece of one, in the time that is allowed for it."""


class CertificateError(UnreachableError):
    """The two sides do not trust each other; trying again changes nothing."""


class Connection:
    """One login's way to one server; as many calls and streams at once as are wanted."""

    def __init__(self, login: Login, access: Access, client: httpx.AsyncClient) -> None:
        self.server = access.server
        self._login = login
        self._access = access
        self._client = client
        self._renewing = asyncio.Lock()

    async def ask(self, call: Call, *, tries: int = TRIES) -> Object:
        """Send a call, repeated where that is safe, and give the JSON object that answers it."""
        body = await self.fetch(call, tries=tries)
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

    async def fetch(self, call: Call, *, tries: int = TRIES) -> bytes:
        """Send a call, repeated where that is safe, and give the body of the answer."""

        async def attempt() -> bytes:
            with self._saying(call):
                async with asyncio.timeout(call.limit_s):
                    response = await self._send(call)
                    try:
                        return await response.aread()
                    finally:
                        await response.aclose()

        # What is gone already is no less gone.
        return await repeat(attempt, safe=call.method in {"GET", "DELETE"}, tries=tries)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Send a call once and give its answer piece by piece."""
        response = await self._open(call, {"Accept-Encoding": "identity"})
        try:
            yield self._read_pieces(call, response)
        finally:
            await response.aclose()

    async def upgrade(self, call: Call, headers: Mapping[str, str], *, safe: bool) -> httpx.Response:
        """Turn a call into a connection of another protocol; who asked closes the response."""
        response = await repeat(lambda: self._open(call, headers), safe=safe)
        if response.status_code == 101:
            return response
        await response.aclose()
        raise ClusterError(
            f"{call}: {self.server} does not speak websockets there", status=response.status_code
        )

    async def _open(self, call: Call, headers: Mapping[str, str]) -> httpx.Response:
        with self._saying(call):
            async with asyncio.timeout(call.limit_s):
                return await self._send(call, headers)

    async def _read_pieces(self, call: Call, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        with self._saying(call):
            async for piece in response.aiter_bytes():
                yield piece

    async def _send(self, call: Call, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Send a call as whom we are, renewed once; the body of what is given is still to be read."""
        token = self._access.token
        response = await self._send_as(token, call, headers or {})
        if response.status_code == 401 and await self._renew(token):
            await response.aclose()
            response = await self._send_as(self._access.token, call, headers or {})
        if response.status_code < 300:
            return response
        try:
            refusal = build_refusal(
                call,
                response.status_code,
                await response.aread(),
                source=self._access.source,
                namespace=self._access.namespace,
            )
        finally:
            await response.aclose()
        refusal.retry_after_s = _read_retry_after(response)
        raise refusal

    async def _send_as(self, token: str | None, call: Call, headers: Mapping[str, str]) -> httpx.Response:
        import httpx

        own = [("Accept", "application/json, */*"), *self._access.impersonation, *headers.items()]
        if token:
            own.append(("Authorization", f"Bearer {token}"))
        if call.body is not None:
            own.append(("Content-Type", call.content_type))
        name = self._access.tls_server_name
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
        """Read the login anew, unless another call did since; say whether it brought another token."""
        async with self._renewing:
            if self._access.token == token:
                access = await asyncio.to_thread(find_access, self._login)
                # A login that means another server by now is not for this one to see.
                self._access = access if access.server == self.server else self._access
            return self._access.token != token

    @contextmanager
    def _saying(self, call: Call) -> Iterator[None]:
        """Tell the library's errors in our words."""
        import httpx

        try:
            yield
        except (httpx.TransportError, TimeoutError) as error:
            raise self._describe(call, error) from error

    def _describe(self, call: Call, error: Exception) -> UnreachableError:
        import httpx

        cause = _find_cause(error)
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", None) or cause.reason or cause
            return CertificateError(f"{self.server}: {reason} (TLS)", hint=self._ask_for_ca())
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)):
            proxy = re.sub("//.*@", "//", self._access.proxy or "")
            way = f" through the proxy {proxy}" if proxy else ""
            also = (
                ", the proxy from its proxy-url or the environment (HTTPS_PROXY, NO_PROXY)" if proxy else ""
            )
            return NotConnectedError(
                f"{self.server} cannot be reached{way}: {_tell(cause) or 'no answer'}",
                hint=f"the address is from {self._access.source}{also}",
            )
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return SilentError(f"{self.server} does not answer: {call}")
        return UnreachableError(f"{self.server} broke off: {call}: {_tell(cause)}")

    def _ask_for_ca(self) -> str:
        if self._login.token_file and not self._login.ca_file:
            return "name the file of its CA with --ca-file"
        return f"is its CA the one in {self._login.ca_file or self._access.source}?"


@asynccontextmanager
async def open_connection(login: Login) -> AsyncIterator[tuple[Access, Connection]]:
    """Find the login's way in and hold it open: whoever changes the current context later does not change ours."""
    access = await asyncio.to_thread(find_access, login)
    async with _build_client(access) as client:
        yield access, Connection(replace(login, context=access.context), access, client)


def _build_client(access: Access) -> httpx.AsyncClient:
    import httpx

    try:
        transport = httpx.AsyncHTTPTransport(
            verify=access.tls,
            proxy=access.proxy,
            # Every console, attach and log is a connection of its own: there is no number of them to wait at.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
            socket_options=KEEPALIVE,
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise LoginError(f"{access.source}: the proxy for {access.server} cannot be used: {error}") from error
    return httpx.AsyncClient(transport=transport, headers={"User-Agent": "freepage"})


async def repeat(attempt: Callable[[], Awaitable[T]], *, safe: bool, tries: int = TRIES) -> T:
    """Try until it works, with growing pauses, as long as trying again can help and do no harm."""
    for failures in range(1, tries):
        try:
            return await attempt()
        except ClusterError as error:
            if not may_repeat(error, safe=safe):
                raise
            await asyncio.sleep(find_pause(failures, error))
    return await attempt()


def may_repeat(error: ClusterError, *, safe: bool) -> bool:
    """Say whether a call may be tried again; `safe`: even if the server did what was asked."""
    if error.status == 429 or isinstance(error, NotConnectedError):
        return True
    lost = isinstance(error, UnreachableError) and not isinstance(error, CertificateError)
    return safe and (lost or (error.status or 0) >= 500)


def find_pause(failures: int, error: ClusterError | None = None) -> float:
    """Give how long to wait (s) after so many failures in a row: the server's wish, else doubling, spread by a half."""
    if error is not None and error.retry_after_s is not None:
        return min(error.retry_after_s, LONGEST_PAUSE_S) + random.uniform(0, 0.1 * FIRST_PAUSE_S)
    return min(FIRST_PAUSE_S * 2.0 ** (failures - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)


def _read_retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None


def _find_cause(error: BaseException) -> BaseException:
    """Give the innermost error: the library wraps what the system said three times, and each address' in a group."""
    if isinstance(error, BaseExceptionGroup):
        return _find_cause(error.exceptions[0])
    inner = error.__cause__ or error.__context__
    return error if inner is None else _find_cause(inner)


def _tell(error: BaseException) -> str:
    """Give the system's own word for an error: asyncio replaces it by another."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error)

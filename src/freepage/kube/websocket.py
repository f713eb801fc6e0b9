"""Websockets: messages both ways over a connection that began as a call."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import httpcore
from wsproto.connection import Connection as Framing
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from freepage.kube.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx
    from wsproto.events import Event

    from freepage.kube.call import Call
    from freepage.kube.connection import Connection

READ_BYTES = 64 * 1024
# The silence after which a ping is sent, and the time it has for its answer. Also keeps proxies from closing a connection
# as idle; neither the API server nor KubeVirt's console pings on its own.
PING_S = 20.0
WRITE_LIMIT_S = 30.0
CLOSE_LIMIT_S = 1.0
NORMAL_CLOSURE = 1000


class WebSocket:
    """The client's side of a websocket on a connection that httpx has upgraded.

    It has no task of its own: receive() also answers pings and notices a peer that is gone. What is not received waits
    in the kernel's buffers and slows the sender, as on any socket (docs/decisions/007-cluster-client.md).
    """

    def __init__(self, response: httpx.Response) -> None:
        self.protocol = response.headers.get("sec-websocket-protocol", "")
        self._response = response
        self._network = response.extensions["network_stream"]
        self._framing = Framing(ConnectionType.CLIENT)
        self._sending = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._pieces: list[bytes] = []
        self._lost: str | None = None

    async def receive(self) -> bytes | None:
        """Return the next whole message; None where the other side closed in order, OSError where it is gone."""
        while True:
            while self._events:
                message, ended = await self._handle(self._events.popleft())
                if message is not None or ended:
                    return message
            await self._fill()

    async def send(self, data: bytes) -> None:
        """Send one binary message."""
        await self._send(BytesMessage(data=data))

    async def close(self) -> None:
        try:
            # A connection that is closed or lost already is what we want.
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._send(CloseConnection(code=NORMAL_CLOSURE))
        finally:
            await self._response.aclose()

    async def _handle(self, event: Event) -> tuple[bytes | None, bool]:
        """Handle one event; return the message that it completes, and whether it was the last."""
        if isinstance(event, (BytesMessage, TextMessage)):
            return self._add(event), False
        if isinstance(event, Ping):
            # Where the peer has gone, what came before still counts.
            with suppress(OSError):
                await self._send(event.response())
        if isinstance(event, CloseConnection):
            self._handle_close(event)
            return None, True
        return None, False

    def _add(self, event: BytesMessage | TextMessage) -> bytes | None:
        self._pieces.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
        if not event.message_finished:
            return None
        message = b"".join(self._pieces)
        self._pieces.clear()
        return message

    def _handle_close(self, event: CloseConnection) -> None:
        # Another receive() ends in the same way.
        self._events.append(event)
        if event.code != NORMAL_CLOSURE:
            raise self._mark_lost(
                f"the other side closed the connection: {event.reason or f'code {event.code}'}"
            )

    async def _fill(self) -> None:
        """Wait for bytes, with a ping after PING_S seconds of silence."""
        self._check()
        try:
            try:
                data = await self._network.read(READ_BYTES, timeout=PING_S)
            except httpcore.ReadTimeout:
                await self._send(Ping(payload=secrets.token_bytes(4)))
                data = await self._network.read(READ_BYTES, timeout=PING_S)
            if not data:
                raise self._mark_lost("the connection was cut off")
            self._framing.receive_data(data)
            self._events.extend(self._framing.events())
        except httpcore.ReadTimeout as error:
            raise self._mark_lost(f"no answer to a ping for {PING_S:.0f} s") from error
        except (httpcore.ReadError, RemoteProtocolError) as error:
            raise self._mark_lost(f"the connection was lost: {error}") from error

    async def _send(self, event: Event) -> None:
        async with self._sending:
            self._check()
            try:
                await self._network.write(self._framing.send(event), timeout=WRITE_LIMIT_S)
            except LocalProtocolError as error:
                raise self._mark_lost("the connection is closed") from error
            except (httpcore.WriteError, httpcore.WriteTimeout) as error:
                raise self._mark_lost(f"the connection was lost: {error}") from error
            except asyncio.CancelledError:
                # Half a frame may be under way: nothing could follow it.
                self._mark_lost("sending was broken off")
                raise

    def _check(self) -> None:
        if self._lost is not None:
            raise ConnectionResetError(self._lost)

    def _mark_lost(self, reason: str) -> ConnectionResetError:
        self._lost = reason
        return ConnectionResetError(reason)


@asynccontextmanager
async def open_websocket(
    connection: Connection, call: Call, protocols: Sequence[str], *, safe: bool = True
) -> AsyncIterator[WebSocket]:
    """Open a websocket with one of some protocols; ClusterError where the server refuses."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Protocol": ", ".join(protocols),
    }
    socket = WebSocket(await connection.upgrade(call, headers, safe=safe))
    try:
        if socket.protocol not in protocols:
            raise ClusterError(
                f"{call}: {connection.server} speaks {socket.protocol or 'none'} of {headers['Sec-WebSocket-Protocol']}"
            )
        yield socket
    finally:
        await socket.close()

"""The API server's socket: HTTPS on loopback, taken away and brought back as a server's that is started anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from lab.certificates import make_server, server_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lab.access import Access
    from lab.certificates import Pair
    from lab.faults import Faults
    from lab.seams import Object

# The answer to the request for a restart is on its way before the connection it came on is cut.
LAST_ANSWER_S = 0.1


class Listener:
    """One server on one port, which it has again after a restart."""

    def __init__(self, runner: web.AppRunner, context: ssl.SSLContext, access: Access) -> None:
        self._runner = runner
        self._context = context
        self._access = access
        self._port = 0
        self._site: web.TCPSite | None = None
        self._restarting: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    async def open(self) -> None:
        self._site = web.TCPSite(
            self._runner, "127.0.0.1", self._port, ssl_context=self._context, backlog=1024
        )
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Take no more connections, and cut those there are."""
        if self._site is not None:
            await self._site.stop()
        self._site = None
        for connection in self._runner.server.connections if self._runner.server else ():
            connection.force_close()

    def restart(self, wish: Object) -> None:
        """Be away for `away_s`, then refuse what needs a right for `early_s`, and tokens of accounts for `unknown_s`."""
        self._restarting = asyncio.create_task(self._restart(**wish))

    async def _restart(self, away_s: float = 2.0, early_s: float = 4.0, unknown_s: float = 0.0) -> None:
        await asyncio.sleep(LAST_ANSWER_S)
        await self.close()
        await asyncio.sleep(away_s)
        self._access.start_over(early_s, unknown_s)
        await self.open()


@asynccontextmanager
async def listening(
    app: web.Application, authority: Pair, folder: Path, access: Access, faults: Faults
) -> AsyncIterator[str]:
    """Serve HTTPS on a free port of loopback; return the address."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        listener = Listener(runner, server_context(authority, make_server(authority), folder), access)
        faults.add("restart", listener.restart)
        await listener.open()
        yield listener.address
    finally:
        await runner.cleanup()

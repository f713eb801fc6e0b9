"""Running the test cluster: its parts, started in order and ended together."""

from __future__ import annotations

import argparse
import asyncio
import base64
import signal
import sys
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from aiohttp import web

from cluster.access import MASTERS, Access, User
from cluster.apiserver import ApiServer
from cluster.bootstrap import OPERATORS, Make, furnish
from cluster.certificates import make_authority, make_client, make_server, server_context
from cluster.controllers import run_controllers
from cluster.faults import Faults
from cluster.fleet import open_fleet
from cluster.hyperconverged import run_operator
from cluster.kinds import Catalog
from cluster.schemas import BESIDE_THE_CHECKOUT, Schemas
from cluster.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cluster.certificates import Pair

ADMIN = User("kubernetes-admin", (MASTERS, "system:authenticated"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a test cluster")
    parser.add_argument("folder", type=Path, help="where it keeps everything; must be empty or not there")
    parser.add_argument("--no-nodes", action="store_true", help="an API server only")
    parser.add_argument(
        "--fleet", type=int, default=0, metavar="N", help="N synthetic VMIs on synthetic nodes"
    )
    parser.add_argument("--operator", choices=OPERATORS, default="kubevirt", help="who installed KubeVirt")
    parser.add_argument("--kubevirt-version", default="v1.9.0")
    parser.add_argument("--openshift", action="store_true")
    parser.add_argument("--schemas", type=Path, default=BESIDE_THE_CHECKOUT)
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    """Run everything until the end is asked for; a part that fails ends all."""
    folder: Path = arguments.folder
    make = Make(arguments.operator, arguments.kubevirt_version, arguments.openshift)
    schemas = Schemas(arguments.schemas, make.hyperconverged_schema)
    if not schemas.there:
        sys.stderr.write(f"no schemas in {arguments.schemas}: KubeVirt's objects are not validated\n")
    store, faults = MemoryStore(), Faults()
    access = Access(store)
    furnish(store, make, schemas)
    server = ApiServer(store, Catalog(make.kinds()), schemas, access, faults)
    ended = watch_for_end()
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(_running())
        group.create_task(run_controllers(store))
        if make.has_operator:
            group.create_task(run_operator(store))
        if arguments.fleet:
            await stack.enter_async_context(open_fleet(store, arguments.fleet))
        authority = make_authority()
        address = await stack.enter_async_context(_listening(server.build_app(), authority, folder))
        write_logins(folder, address, authority, access.issue(ADMIN))
        sys.stdout.write(f"ready {folder / 'kubeconfig'}\n")
        sys.stdout.flush()
        await ended.wait()


@asynccontextmanager
async def _running() -> AsyncIterator[asyncio.TaskGroup]:
    """Give a group whose tasks run for ever, and are ended at the end."""
    ending = asyncio.CancelledError("the end")
    try:
        async with asyncio.TaskGroup() as group:
            yield group
            raise ending
    except asyncio.CancelledError as error:
        if error is not ending:
            raise


@asynccontextmanager
async def _listening(app: web.Application, authority: Pair, folder: Path) -> AsyncIterator[str]:
    """Serve HTTPS on a free port of loopback; give the address."""
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        context = server_context(authority, make_server(authority), folder)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context, backlog=1024)
        await site.start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def write_logins(folder: Path, address: str, authority: Pair, token: str) -> None:
    """Write a kubeconfig with two contexts (token, certificate), and the CA and the token as pods have them."""
    client = make_client(authority, ADMIN.name, MASTERS)
    users = {
        "token": {"token": token},
        "certificate": {
            "client-certificate-data": _encode(client.certificate_pem),
            "client-key-data": _encode(client.key_pem),
        },
    }
    cluster = {"server": address, "certificate-authority-data": _encode(authority.certificate_pem)}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "test", "user": name}} for name in users],
        "current-context": "token",
    }
    _write_private(folder / "kubeconfig", yaml.safe_dump(kubeconfig))
    _write_private(folder / "token", token)
    (folder / "ca.crt").write_bytes(authority.certificate_pem)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def watch_for_end() -> asyncio.Event:
    """Give an event that SIGTERM, SIGINT and the end of stdin set."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def wait_for_stdin() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_stdin, daemon=True).start()
    return ended


def main() -> None:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(arguments))

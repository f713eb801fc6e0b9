"""Running the test cluster: its parts, started in order and ended together."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import signal
import sys
import threading
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab.access import MASTERS, Access, User
from lab.apiserver import ApiServer
from lab.bootstrap import OPERATORS, Make, furnish
from lab.certificates import make_authority, make_client
from lab.controllers import run_controllers
from lab.faults import Faults
from lab.fleet import open_fleet
from lab.hyperconverged import run_operator
from lab.kinds import Catalog
from lab.listening import listening
from lab.schemas import BESIDE_THE_CHECKOUT, Schemas
from lab.store import MemoryStore
from lab.work import run_alongside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.certificates import Pair

ADMIN = User("kubernetes-admin", (MASTERS, "system:authenticated"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a test cluster")
    parser.add_argument("folder", type=Path, help="where it keeps everything; must be empty or not there")
    parser.add_argument("--nodes", type=int, default=2, metavar="N", help="how many real nodes")
    parser.add_argument("--no-nodes", action="store_true", help="an API server only")
    parser.add_argument("--no-prometheus", action="store_true")
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
        controllers = [
            run_controllers(store, openshift=make.openshift),
            *([run_operator(store)] if make.has_operator else []),
        ]
        await stack.enter_async_context(run_alongside(*controllers))
        if arguments.fleet:
            await stack.enter_async_context(open_fleet(store, arguments.fleet))
        elif not arguments.no_nodes:
            await stack.enter_async_context(_open_nodes(store, faults, arguments))
        authority = make_authority()
        address = await stack.enter_async_context(
            listening(server.build_app(), authority, folder, access, faults)
        )
        write_logins(folder, address, authority, access.issue(ADMIN))
        sys.stdout.write(f"ready {folder / 'kubeconfig'}\n")
        sys.stdout.flush()
        await ended.wait()


@asynccontextmanager
async def _open_nodes(
    store: MemoryStore, faults: Faults, arguments: argparse.Namespace
) -> AsyncIterator[None]:
    """Run real nodes; where a registry and a Prometheus are found then stands in files of the folder."""
    from lab.nodes import run_nodes

    folder, names = arguments.folder, [f"node-{n}" for n in range(arguments.nodes)]
    async with run_nodes(store, folder / "nodes", names, prometheus=not arguments.no_prometheus) as nodes:
        faults.add("lose", nodes.lose)
        (folder / "registry").write_text(nodes.registry)
        if nodes.prometheus is not None:
            (folder / "prometheus").write_text(nodes.prometheus)
        yield


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
    """Return an event that SIGTERM, SIGINT and the end of stdin set."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    def wait_for_stdin() -> None:
        # Not by sys.stdin: its lock, held by a thread, would be in the way of the interpreter's end.
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_stdin, daemon=True).start()
    return ended


def main() -> None:
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(arguments))

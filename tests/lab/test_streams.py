"""The test cluster's streams: logs, channels of commands, consoles, with a kubelet that echoes."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from lab.access import Access, User
from lab.apiserver import ApiServer
from lab.bootstrap import Make, create_namespace, furnish
from lab.faults import Faults
from lab.kinds import Catalog
from lab.kubevirt import INSTANCES
from lab.schemas import Schemas
from lab.seams import NotStartedError
from lab.store import PODS, MemoryStore

pytestmark = pytest.mark.cluster


class Echo:
    """A process or console that says back what it is told, until it is told "exit N"."""

    def __init__(self):
        self.said = asyncio.Queue()
        self.status = 0
        self.closed = asyncio.Event()

    async def write(self, data):
        if data.startswith(b"exit"):
            self.status = int(data.split()[1])
            await self.said.put(None)
        else:
            await self.said.put((2 if data.startswith(b"err") else 1, data))

    async def close_stdin(self):
        await self.said.put((1, b"stdin ended"))
        await self.said.put(None)

    async def output(self):
        while (part := await self.said.get()) is not None:
            yield part

    async def wait(self):
        return self.status

    async def close(self):
        self.closed.set()
        await self.said.put(None)


class EchoKubelet:
    def __init__(self):
        self.opened = []

    async def read_log(self, namespace, pod, container, *, follow=False, tail_lines=None, **options):
        if container == "waiting":
            raise NotStartedError('container "waiting" in pod "p" is waiting to start: ContainerCreating')
        yield f"{follow} {tail_lines}\n".encode()
        if follow:
            await asyncio.sleep(0.05)
            yield b"later\n"

    async def attach(self, namespace, pod, container):
        return self._open()

    async def exec(self, namespace, pod, container, command, *, stdin):
        if command == ["missing"]:
            raise FileNotFoundError('exec: "missing": executable file not found in $PATH')
        return self._open()

    async def open_console(self, namespace, instance):
        if self.opened:
            await self.opened[-1].close()
        return self._open()

    def _open(self):
        self.opened.append(Echo())
        return self.opened[-1]


def furnish_echo(store):
    create_namespace(store, "ns")
    containers = [{"name": "c", "image": "i", "stdin": True}, {"name": "waiting", "image": "i"}]
    spec = {"nodeName": "node", "containers": containers}
    store.create(PODS, {"kind": "Pod", "metadata": {"name": "p", "namespace": "ns"}, "spec": spec})
    vmi = {"metadata": {"name": "vm", "namespace": "ns"}, "spec": {"domain": {}}}
    store.create(INSTANCES, {**vmi, "status": {"phase": "Running", "nodeName": "node"}})
    store.kubelets["node"] = EchoKubelet()


@asynccontextmanager
async def echoing():
    """Serve one pod and one VMI whose node echoes, without TLS; return a logged-in client and the kubelet."""
    store, make = MemoryStore(), Make()
    access = Access(store)
    schemas = Schemas(Path("/nonexistent"))
    furnish(store, make, schemas)
    furnish_echo(store)
    app = ApiServer(store, Catalog(make.kinds()), schemas, access, Faults()).build_app()
    token = access.issue(User("admin", ("system:masters",)))
    async with TestClient(
        TestServer(app, handler_cancellation=True), headers={"Authorization": f"Bearer {token}"}
    ) as client:
        yield client, store.kubelets["node"]


POD = "/api/v1/namespaces/ns/pods/p"
CONSOLE = "/apis/subresources.kubevirt.io/v1/namespaces/ns/virtualmachineinstances/vm/console"
BOTH = {"container": "c", "stdin": "true", "stdout": "true", "stderr": "true"}


def channels(client, path, protocol="v5.channel.k8s.io", **query):
    return client.ws_connect(path, params={**BOTH, **query}, protocols=(protocol,))


async def test_a_log_is_read_and_followed():
    async with echoing() as (client, _):
        async with client.get(f"{POD}/log", params={"container": "c", "tailLines": "3"}) as response:
            assert await response.text() == "False 3\n"
        async with client.get(f"{POD}/log", params={"container": "c", "follow": "true"}) as response:
            assert await response.text() == "True None\nlater\n"
        async with client.get(f"{POD}/log", params={"container": "waiting"}) as response:
            assert (response.status, "waiting to start" in await response.text()) == (400, True)
        async with client.get(f"{POD}/log") as response:
            assert "choose one of: [c waiting]" in await response.text()


async def test_a_command_has_channels_and_ends_with_its_status():
    async with echoing() as (client, kubelet), channels(client, f"{POD}/exec", command="sh") as socket:
        assert await socket.receive_bytes() == b"\x01"
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x01hello"
        await socket.send_bytes(b"\x00error")
        assert await socket.receive_bytes() == b"\x02error"
        await socket.send_bytes(b"\x00exit 3")
        frame = await socket.receive_bytes()
        assert frame[0] == 3
        status = json.loads(frame[1:])
        assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
        assert kubelet.opened[0].closed.is_set()


@pytest.mark.parametrize(("protocol", "ends"), [("v5.channel.k8s.io", True), ("v4.channel.k8s.io", False)])
async def test_stdin_can_be_ended_in_version_5_only(protocol, ends):
    async with echoing() as (client, _), channels(client, f"{POD}/exec", protocol, command="sh") as socket:
        assert socket.protocol == protocol
        await socket.receive_bytes()
        await socket.send_bytes(b"\xff\x00")
        if not ends:
            await socket.send_bytes(b"\x00still here")
        assert await socket.receive_bytes() == (b"\x01stdin ended" if ends else b"\x01still here")


async def test_a_command_that_cannot_start_says_so_on_the_error_channel():
    async with echoing() as (client, _), channels(client, f"{POD}/exec", command="missing") as socket:
        frame = await socket.receive_bytes()
        assert (frame[0], "executable file not found" in frame.decode()) == (3, True)


async def test_leaving_an_attach_lets_go_of_it():
    async with echoing() as (client, kubelet):
        async with channels(client, f"{POD}/attach") as socket:
            await socket.receive_bytes()
            await socket.send_bytes(b"\x00hello")
            assert await socket.receive_bytes() == b"\x01hello"
        await asyncio.wait_for(kubelet.opened[0].closed.wait(), 5)


async def test_a_websocket_needs_a_protocol_it_knows():
    async with echoing() as (client, _):
        for protocols in ((), ("v3.channel.k8s.io",)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(f"{POD}/attach", params=BOTH, protocols=protocols)
            assert caught.value.status == 400
        async with client.get(f"{POD}/attach", params=BOTH) as response:
            assert "Upgrade request required" in await response.text()


async def test_a_console_takes_binary_frames_and_drops_others():
    protocol = "plain.kubevirt.io"
    async with echoing() as (client, _), client.ws_connect(CONSOLE, protocols=(protocol,)) as socket:
        await socket.send_str("dropped")
        await socket.send_bytes(b"echoed")
        assert await socket.receive_bytes() == b"echoed"


async def test_a_new_console_ends_the_old_one():
    protocols = ("plain.kubevirt.io",)
    async with (
        echoing() as (client, _),
        client.ws_connect(CONSOLE, protocols=protocols) as old,
        client.ws_connect(CONSOLE, protocols=protocols) as new,
    ):
        assert (await old.receive()).type == aiohttp.WSMsgType.CLOSE
        await new.send_bytes(b"mine")
        assert await new.receive_bytes() == b"mine"


async def test_websockets_may_be_refused_or_dropped():
    async with echoing() as (client, _):
        async with channels(client, f"{POD}/attach") as socket:
            await socket.receive_bytes()
            await client.post("/-/faults", json={"drop": "websocket"})
            assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}
        await client.post("/-/faults", json={"answer": 503, "upgrade": True})
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await channels(client, f"{POD}/attach")
        async with client.get(f"{POD}/log", params={"container": "c"}) as response:
            assert response.status == 200

"""Streams between a client and a node: logs, exec, attach, consoles."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from lab.kubevirt import INSTANCES, check_console
from lab.messages import parse_number
from lab.seams import NotStartedError
from lab.statuses import bad_request, internal_error, not_found
from lab.store import PODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from lab.call import Call
    from lab.faults import OpenStreams
    from lab.seams import Duplex, Kubelet, Object
    from lab.store import MemoryStore

CHANNELS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
CONSOLE = "plain.kubevirt.io"
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255


class Tunnels:
    """Connect clients with the kubelets of a store."""

    def __init__(self, store: MemoryStore, opened: OpenStreams) -> None:
        self._store = store
        self._opened = opened

    async def read_log(self, call: Call) -> web.StreamResponse:
        """Answer pods/log; headers are sent with the first byte, as a kubelet's are."""
        pod, container = self._find(call)
        query = call.request.query
        if query.get("previous") == "true":
            raise bad_request(f'previous terminated container "{container}" in pod "{call.name}" not found')
        options = parse_log_options(query)
        with self._opened.opened("log", call.request):
            with _kubelets_words(call.name):
                chunks = self._kubelet(pod).read_log(call.namespace, call.name, container, **options)
                first = await anext(chunks, b"")
            return await _send_chunks(call.request, first, chunks)

    async def execute(self, call: Call) -> web.StreamResponse:
        pod, container = self._find(call)
        command = call.request.query.getall("command", [])
        if not command:
            raise bad_request("you must specify at least 1 command for the container")
        stdin = call.request.query.get("stdin") == "true"
        kubelet = self._kubelet(pod)
        start = partial(kubelet.exec, call.namespace, call.name, container, command, stdin=stdin)
        return await self._open_channels(call, start, stdin=stdin)

    async def attach(self, call: Call) -> web.StreamResponse:
        """Answer pods/attach; stdin reaches only a container that was created with one."""
        pod, container = self._find(call)
        there = any(c["name"] == container and c.get("stdin") for c in pod["spec"]["containers"])
        stdin = there and call.request.query.get("stdin") == "true"
        start = partial(self._kubelet(pod).attach, call.namespace, call.name, container)
        return await self._open_channels(call, start, stdin=stdin)

    async def open_console(self, call: Call) -> web.StreamResponse:
        """Answer a VMI's console: bytes both ways; text frames are dropped without a word."""
        try:
            instance = self._store.peek(INSTANCES, call.namespace, call.name)
        except KeyError:
            raise not_found("kubevirt.io", "virtualmachineinstance", call.name) from None
        check_console(instance)
        socket = prepare_socket(call.request, (CONSOLE,), required=False)
        duplex = await self._find_console(call, instance["status"].get("nodeName", ""))
        with self._opened.opened("websocket", call.request):
            await socket.prepare(call.request)
            await _pump(duplex, _send_raw(socket, duplex), _receive_raw(socket, duplex))
            await socket.close()
        return socket

    async def _find_console(self, call: Call, node: str) -> Duplex:
        if node not in self._store.kubelets:
            raise internal_error(f"dial tcp: virt-handler of node {node}: connect: connection refused")
        try:
            return await self._store.kubelets[node].open_console(call.namespace, call.name)
        except (KeyError, NotStartedError) as error:
            raise bad_request("VMI is not running") from error
        except ConnectionError as error:
            raise internal_error(f"error dialing backend: {error}") from error

    async def _open_channels(
        self, call: Call, start: Callable[[], Awaitable[Duplex]], *, stdin: bool
    ) -> web.StreamResponse:
        """Speak the channel protocol between a client and what it starts or attaches to."""
        socket = prepare_socket(call.request, CHANNELS, required=True)
        with _kubelets_words(call.name):
            try:
                duplex = await start()
            except (FileNotFoundError, PermissionError) as error:
                return await _tell_failure(call.request, socket, str(error))
        query = call.request.query
        wanted = {n for n, key in ((STDOUT, "stdout"), (STDERR, "stderr")) if query.get(key) in {"true", "1"}}
        with self._opened.opened("websocket", call.request):
            await socket.prepare(call.request)
            # As the real server does, so that the client knows it is connected.
            await socket.send_bytes(bytes([STDOUT]))
            receiving = _receive_channels(socket, duplex, stdin=stdin)
            await _pump(duplex, _send_channels(socket, duplex, wanted), receiving)
            await socket.close()
        return socket

    def _find(self, call: Call) -> tuple[Object, str]:
        """Return the pod a call is on, and the container it means."""
        try:
            pod = self._store.peek(PODS, call.namespace, call.name)
        except KeyError:
            raise not_found("", "pods", call.name) from None
        container = choose_container(pod, call.request.query.get("container"))
        if not pod["spec"].get("nodeName"):
            raise bad_request(f"pod {call.name} does not have a host assigned")
        return pod, container

    def _kubelet(self, pod: Object) -> Kubelet:
        node = pod["spec"]["nodeName"]
        if node not in self._store.kubelets:
            raise internal_error(f"dial tcp: kubelet of node {node}: connect: connection refused")
        return self._store.kubelets[node]


def choose_container(pod: Object, asked: str | None) -> str:
    """Return the container that is meant; with several, it must be named."""
    spec = pod["spec"]
    containers = [c["name"] for c in (*spec["containers"], *(spec.get("initContainers") or ()))]
    name = pod["metadata"]["name"]
    if asked in containers:
        return asked
    if asked:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    if len(containers) > 1:
        listed = " ".join(containers)
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{listed}]")
    return containers[0]


def parse_log_options(query: Any) -> dict[str, Any]:
    """Return pods/log's query as read_log takes it."""
    given = (("tail_lines", "tailLines"), ("limit_bytes", "limitBytes"), ("since_s", "sinceSeconds"))
    options: dict[str, Any] = {
        name: parse_number(query, key, default=0) for name, key in given if key in query
    }
    if "sinceTime" in query:
        try:
            since = datetime.fromisoformat(query["sinceTime"])
        except ValueError as error:
            raise bad_request(f"sinceTime: {error}") from error
        options["since_s"] = (datetime.now(UTC) - since).total_seconds()
    return options | {key: query.get(key) in {"true", "1"} for key in ("follow", "timestamps")}


@contextlib.contextmanager
def _kubelets_words(pod: str) -> Iterator[None]:
    """Raise what a kubelet raises as the API server passes it on."""
    try:
        yield
    except KeyError:
        raise not_found("", "pods", pod) from None
    except NotStartedError as error:
        raise bad_request(str(error)) from error
    except ConnectionError as error:
        raise internal_error(f"error dialing backend: {error}") from error


async def _send_chunks(
    request: web.Request, first: bytes, chunks: AsyncIterator[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    # Whoever follows a log may go at any time.
    with contextlib.suppress(ConnectionResetError):
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
    return response


def prepare_socket(
    request: web.Request, protocols: tuple[str, ...], *, required: bool
) -> web.WebSocketResponse:
    """Check that a request is an upgrade in one of our protocols."""
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise bad_request("Upgrade request required")
    offered = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    if (required or offered) and not set(offered) & set(protocols):
        raise bad_request(f"unable to upgrade: unable to negotiate protocol: client supports {offered}")
    return socket


async def _pump(duplex: Duplex, sending: Awaitable[None], receiving: Awaitable[None]) -> None:
    """Run both directions until one of them ends, and let the other side go."""
    tasks = [asyncio.ensure_future(sending), asyncio.ensure_future(receiving)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await duplex.close()


async def _send_raw(socket: web.WebSocketResponse, duplex: Duplex) -> None:
    async for _, data in duplex.output():
        await socket.send_bytes(data)


async def _receive_raw(socket: web.WebSocketResponse, duplex: Duplex) -> None:
    async for message in socket:
        if message.type == WSMsgType.BINARY:
            with contextlib.suppress(OSError):
                await duplex.write(message.data)


async def _send_channels(socket: web.WebSocketResponse, duplex: Duplex, wanted: set[int]) -> None:
    async for channel, data in duplex.output():
        if channel in wanted:
            await socket.send_bytes(bytes([channel]) + data)
    await _send_status(socket, describe_exit(await duplex.wait()))


async def _receive_channels(socket: web.WebSocketResponse, duplex: Duplex, *, stdin: bool) -> None:
    """Pass stdin on (to nobody once the process has ended); with v5, [255, channel] closes one."""
    async for message in socket:
        frame = message.data if message.type == WSMsgType.BINARY else message.data.encode()
        if not stdin or not frame:
            continue
        with contextlib.suppress(OSError):
            if frame[0] == STDIN:
                await duplex.write(frame[1:])
            elif frame[0] == CLOSE and frame[1:] == bytes([STDIN]) and socket.ws_protocol == CHANNELS[0]:
                await duplex.close_stdin()


async def _tell_failure(request: web.Request, socket: web.WebSocketResponse, why: str) -> web.StreamResponse:
    """Report over the error channel that a command could not be started."""
    await socket.prepare(request)
    error = internal_error(f"error executing command in container: {why}")
    await _send_status(socket, error.as_object())
    await socket.close()
    return socket


async def _send_status(socket: web.WebSocketResponse, status: Object) -> None:
    await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())


def describe_exit(status: int) -> Object:
    """Return the Status that ends an exec or attach."""
    if status == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {status}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(status)}]},
    }

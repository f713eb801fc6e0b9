"""A small API server for tests of the client: it says what a test tells it to, over real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from freepage.kube.api import Login, open_cluster

TOKEN = "first-secret-token"
PODS_PATH = "/api/v1/namespaces/ns/pods"
POD = f"{PODS_PATH}/p"
DENIED = 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "ns"'


def status(code, reason, message="", details=None, headers=None):
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details or {},
    }
    return web.json_response(body, status=code, headers=headers)


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict
    headers: dict
    body: object


@dataclass
class ApiServer:
    """Answers each path from its script, the last answer from then on; an answer is JSON, bytes or a handler."""

    tokens: set = field(default_factory=lambda: {TOKEN})
    basic: str | None = None
    asked: list = field(default_factory=list)
    scripts: dict = field(default_factory=lambda: defaultdict(list))
    url: str = ""

    def __post_init__(self):
        self.script("/version", {"gitVersion": "v1.31.2"})

    def script(self, path, *answers, method="GET"):
        self.scripts[method, path] = list(answers)

    def calls(self, path):
        return [a for a in self.asked if a.path == path]

    async def handle(self, request):
        text = await request.text()
        body = json.loads(text) if text else None
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), dict(request.headers), body)
        )
        known = {f"Bearer {t}" for t in self.tokens} | {f"Basic {self.basic}"}
        if request.headers.get("Authorization") not in known:
            return status(401, "Unauthorized", "Unauthorized")
        answers = self.scripts[request.method, request.path]
        if not answers:
            return web.Response(status=404, text="404 page not found")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            return await answer(request)
        if isinstance(answer, dict):
            return web.json_response(answer)
        return web.Response(body=answer)

    def answer_with(self, *arguments, **keywords):
        """Make an answer that is a Status."""

        async def handler(_):
            return status(*arguments, **keywords)

        return handler

    @asynccontextmanager
    async def serve(self, certificate=None, client_ca=None, port=0):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        context = None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def log_in(self, folder, *, hint_denial=None, **login):
        (folder / "token").write_text(TOKEN + "\n")
        login = Login(server=self.url, token_file=str(folder / "token"), **login)
        async with open_cluster(login, hint_denial=hint_denial) as api:
            yield api


def streaming(*pieces, drop=False, hold=False):
    """A handler that sends some pieces, then ends, cuts the connection off, or waits until cancelled."""

    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece if isinstance(piece, bytes) else json.dumps(piece).encode() + b"\n")
        if hold:
            await asyncio.sleep(3600)
        if drop:
            request.transport.abort()
        return response

    return handler


def websocket(talk, protocols=("v5.channel.k8s.io", "v4.channel.k8s.io")):
    """A handler that upgrades and then has `talk` speak over the websocket."""

    async def handler(request):
        socket = web.WebSocketResponse(protocols=protocols, max_msg_size=0, autoping=True)
        await socket.prepare(request)
        await talk(socket, request)
        return socket

    return handler


async def echo(socket, request):
    """What comes on stdin goes to stdout."""
    async for message in socket:
        if message.type == WSMsgType.BINARY and message.data[0] == 0:
            await socket.send_bytes(b"\x01" + message.data[1:])


def make_certificate(folder, name):
    """Make a self-signed certificate for 127.0.0.1; gives its file and its key's."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -subj /CN={name} -addext subjectAltName=IP:127.0.0.1 -out {certificate} -keyout {key}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key


def pod(name, version="1", **metadata):
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": version, **metadata}}


def page(*objects, version="10", more=""):
    return {"items": list(objects), "metadata": {"resourceVersion": version, "continue": more}}


def event(kind, obj):
    return {"type": kind, "object": obj}

"""The API server: Kubernetes' protocol over a store of objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from lab import kubevirt
from lab.access import Attempt, User
from lab.call import VERBS, Call
from lab.conversion import Conversion
from lab.faults import OpenStreams, cut
from lab.kinds import parse_path
from lab.messages import read_body, refuse, refuse_busy
from lab.reading import Reader
from lab.reviews import Reviewer
from lab.statuses import StatusError, forbidden, unknown_path
from lab.tunnels import Tunnels
from lab.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lab.access import Access
    from lab.faults import Fault, Faults
    from lab.kinds import Catalog
    from lab.schemas import Schemas
    from lab.seams import Object
    from lab.store import MemoryStore

    Handler = Callable[[Call], Awaitable[web.StreamResponse]]

HEALTH = {"/healthz", "/livez", "/readyz"}
MOST_BODY_BYTES = 3 * 1024 * 1024
KUBERNETES = {
    "major": "1",
    "minor": "35",
    "gitVersion": "v1.35.2",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-02-10T12:00:00Z",
    "goVersion": "go1.25.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}


class ApiServer:
    """Answer requests; everything it knows is in the store."""

    def __init__(
        self, store: MemoryStore, catalog: Catalog, schemas: Schemas, access: Access, faults: Faults
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._access = access
        self._faults = faults
        conversion, opened = Conversion(schemas), OpenStreams()
        self._tunnels = Tunnels(store, opened)
        self._reader = Reader(store, conversion, opened)
        self._writer = Writer(store, conversion, access, catalog)
        self._reviewer = Reviewer(store, conversion, access)
        faults.add("drop", opened.drop)
        faults.add("expire", access.expire)
        faults.add("forget", lambda _: store.forget_history())

    def build_app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answer anything, refusals as Status objects."""
        try:
            if request.path.startswith("/-/"):
                return await self._command(request)
            asked = {"method": request.method, "path": request.path_qs, "user": None}
            self._faults.requests.append(asked)
            return await self._answer_under(self._faults.take(request), request, asked)
        except StatusError as refusal:
            return refuse(refusal)
        except web.HTTPRequestEntityTooLarge:
            words = f"Request entity too large: limit is {MOST_BODY_BYTES}"
            return refuse(StatusError(413, "RequestEntityTooLarge", words))

    async def _answer_under(
        self, fault: Fault | None, request: web.Request, asked: Object
    ) -> web.StreamResponse:
        if fault is not None:
            await asyncio.sleep(fault.slow_s)
            if fault.busy:
                return refuse_busy(fault.retry_after_s)
            if refusal := fault.refusal():
                raise refusal
        response = await self._dispatch(request, asked)
        if fault is not None and fault.cut:
            cut(request)
        return response

    async def _dispatch(self, request: web.Request, asked: Object) -> web.StreamResponse:
        user = self._impersonate(self._access.identify(request), request)
        asked["user"] = user.name
        target = parse_path(request.path)
        if target is None:
            return self._answer_path(request, user)
        kind = self._catalog.find(target)
        if kind is None:
            attempt = Attempt("get", target.group, target.plural, target.namespace, target.name)
            self._access.require(user, attempt)
            raise unknown_path()
        call = Call(request, user, target, kind)
        self._access.require(user, call.attempt)
        return await self._find_handler(call)(call)

    def _impersonate(self, user: User, request: web.Request) -> User:
        """Return who the request wants to be, where the user may be that."""
        name = request.headers.get("Impersonate-User")
        if name is None:
            return user
        groups = tuple(request.headers.getall("Impersonate-Group", []))
        for resource, wanted in (("users", name), *(("groups", group) for group in groups)):
            self._access.require(user, Attempt("impersonate", "", resource, "", wanted))
        return User(name, (*groups, "system:authenticated"))

    def _answer_path(self, request: web.Request, user: User) -> web.Response:
        """Answer what is no resource: versions, health and discovery."""
        if request.path in HEALTH:
            return self._answer_health(request.path)
        self._access.require_path(user, VERBS.get(request.method, "get"), request.path)
        if request.path == "/version":
            return web.json_response(KUBERNETES)
        document = self._catalog.discover(request.path)
        if document is None:
            raise unknown_path()
        return web.json_response(document)

    def _answer_health(self, path: str) -> web.Response:
        """Answer what everybody may ask, also a server that does not know its rights yet."""
        if path == "/readyz" and not self._access.ready:
            return web.Response(
                status=500, text="[-]informer-sync failed: reason withheld\nreadyz check failed\n"
            )
        return web.Response(text="ok")

    def _find_handler(self, call: Call) -> Handler:
        """Find what answers a call: by its subresource, else by its verb."""
        found: Handler | None = None
        if call.subresource in call.kind.subresources:
            verbs = call.kind.subresources[call.subresource][1]
            found = self._below()[call.subresource] if call.verb in verbs else None
        elif call.subresource and not (call.subresource == "status" and call.kind.status):
            raise unknown_path()
        elif call.verb in call.kind.verbs:
            found = self._reviewer.review if call.kind.hidden else self._by_verb()[call.verb]
        if found is None:
            words = "the server does not allow this method on the requested resource"
            raise StatusError(405, "MethodNotAllowed", words)
        return found

    def _by_verb(self) -> dict[str, Handler]:
        return {
            "get": self._reader.get,
            "list": self._reader.list,
            "watch": self._reader.watch,
            "create": self._writer.create,
            "update": self._writer.write,
            "patch": self._writer.write,
            "delete": self._writer.delete,
            "deletecollection": self._writer.delete_collection,
        }

    def _below(self) -> dict[str, Handler]:
        return {
            "log": self._tunnels.read_log,
            "exec": self._execute,
            "attach": self._attach,
            "console": self._tunnels.open_console,
            "token": self._reviewer.issue_token,
            "restart": self._change_state,
            "start": self._change_state,
            "stop": self._change_state,
        }

    async def _execute(self, call: Call) -> web.StreamResponse:
        self._require_create(call)
        return await self._tunnels.execute(call)

    async def _attach(self, call: Call) -> web.StreamResponse:
        self._require_create(call)
        return await self._tunnels.attach(call)

    def _require_create(self, call: Call) -> None:
        """Since Kubernetes 1.35 a websocket, which is a GET, needs `create` as well, and is refused without a reason."""
        asked = call.attempt
        attempt = Attempt("create", asked.group, asked.resource, asked.namespace, asked.name)
        if not self._access.allows(call.user, attempt):
            raise forbidden(call.kind.group, call.kind.plural, call.name, "")

    async def _change_state(self, call: Call) -> web.Response:
        options = await read_body(call.request)
        kubevirt.change_state(self._store, call.namespace, call.name, call.subresource, options)
        return web.Response(status=202)

    async def _command(self, request: web.Request) -> web.Response:
        """Take a test's command; see faults.py."""
        self._access.require_path(self._access.identify(request), VERBS[request.method], request.path)
        done: object = None
        match request.method, request.path:
            case "POST", "/-/faults":
                done = await self._faults.command(await read_body(request))
            case "DELETE", "/-/faults":
                self._faults.clear()
            case "GET", "/-/requests":
                done = list(self._faults.requests)
            case "DELETE", "/-/requests":
                self._faults.requests.clear()
            case "POST", "/-/tokens":
                done = self._issue(**await read_body(request))
            case _:
                raise unknown_path()
        return web.json_response(done)

    def _issue(self, user: str, groups: list[str] | None = None, lasts_s: float = 3600) -> dict[str, str]:
        return {"token": self._access.issue(User(user, (*(groups or ()), "system:authenticated")), lasts_s)}

"""One cluster's API: everything freepage asks of a cluster goes through here.

Every call raises the errors of kube/errors.py and nothing else. Calls that met 429, 5xx or a lost connection and
can be repeated safely are repeated with growing pauses, honouring Retry-After; an expired token is renewed once.
Objects are the API's own, as dictionaries. Decided in docs/decisions/007-cluster-client.md.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from freepage.kube import logs, streams, watching
from freepage.kube.call import Call, build_call
from freepage.kube.errors import ClusterError, ForbiddenError, NotFoundError, UnreachableError
from freepage.kube.login import Login
from freepage.kube.logs import LogLine
from freepage.kube.resources import Resource, dig, namespace_of
from freepage.kube.retries import ATTEMPTS, Retries, find_pause, may_retry
from freepage.kube.streams import ChannelStream, ConsoleStream, ExecResult
from freepage.kube.watching import Collection, WatchEvent

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from freepage.kube.connection import Connection, HintDenial
    from freepage.kube.login import ResolvedLogin
    from freepage.kube.resources import Object

ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
STRICT = {"fieldValidation": "Strict"}
# A mistyped address should not cost five attempts.
LOGIN_ATTEMPTS = 2
# The time in which a single API server is replaced.
DELETE_DEADLINE_S = 90.0


class ClusterApi:
    """One login to one cluster.

    server: its address. namespace: the one asked for, else the context's, else "default". user: who the login says it
    is, where that can be known without asking.
    """

    def __init__(self, login: ResolvedLogin, connection: Connection) -> None:
        self.server: str = login.server
        self.namespace: str = login.namespace
        self.user: str | None = login.user
        self._connection = connection

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        call = build_call("get", resource, namespace=namespace or self.namespace, name=name)
        return await self._connection.ask(call)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> builtins.list[Object]:
        """List in pages of 500; of all namespaces where `namespace` is None."""
        collection = Collection(resource, namespace, labels, fields)
        return (await watching.list_objects(self._connection, collection)).objects

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """List, then follow changes until cancelled: resumes where a connection was lost, lists again after 410."""
        return watching.watch_objects(self._connection, Collection(resource, namespace, labels, fields))

    async def create(
        self, resource: Resource, obj: Object, *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Create with strict field validation; ExistsError for a name that is taken."""
        namespace = namespace or namespace_of(obj) or self.namespace
        call = build_call("create", resource, namespace=namespace, query=_write_query(dry_run), body=obj)
        return await self._connection.ask(call)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Object,
        *,
        namespace: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Apply a JSON merge patch with strict field validation; ConflictError where its resourceVersion is old."""
        call = build_call(
            "patch",
            resource,
            namespace=namespace or self.namespace,
            name=name,
            query=_write_query(dry_run),
            body=patch,
        )
        return await self._connection.ask(call)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        grace_s: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete, for a server that is away too: what is cleaned up is tried for DELETE_DEADLINE_S. One that is gone is no error."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        call = build_call("delete", resource, namespace=namespace or self.namespace, name=name, body=options)
        with suppress(NotFoundError):
            await self._connection.ask(call, Retries(deadline_s=DELETE_DEADLINE_S))

    async def served_versions(self, group: str) -> builtins.list[str]:
        """Return the versions of an API group that the server has, preferred first; [] where it does not know the group."""
        try:
            found = await self._connection.ask(Call("get", f"/apis/{group}"))
        except NotFoundError:
            return []
        versions = [v["version"] for v in found.get("versions") or []]
        return sorted(versions, key=lambda v: v != dig(found, "preferredVersion", "version"))

    async def server_version(self) -> str:
        """Return Kubernetes' own version ("v1.31.2")."""
        return str((await self._connection.ask(VERSION)).get("gitVersion", ""))

    async def put_subresource(
        self, resource: Resource, name: str, subresource: str, *, namespace: str, body: Object | None = None
    ) -> None:
        """PUT to subresources.kubevirt.io, as for restarting a VM."""
        served = replace(resource, group="subresources.kubevirt.io")
        call = build_call(
            "update", served, namespace=namespace, name=name, subresource=subresource, body=body or {}
        )
        await self._connection.fetch(call)

    async def may(
        self, verb: str, resource: Resource, *, namespace: str | None, subresource: str = ""
    ) -> bool:
        """Ask the server whether this user may (SelfSubjectAccessReview)."""
        review = _build_review(verb, resource, namespace or "", subresource)
        right = build_call(verb, resource, namespace=namespace, subresource=subresource).right
        while not dig(await self._connection.ask(review), "status", "allowed"):
            # A server that has just started says no as well.
            if not self._connection.rights.may_pass(right):
                return False
            await asyncio.sleep(find_pause(1))
        return True

    async def read_log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        limit_s: float | None = None,
    ) -> str:
        """Read what a container has logged so far; limit_s: within that time (s), and not again where its node does not answer."""
        return await logs.read_log(
            self._connection,
            pod,
            namespace=namespace,
            container=container,
            tail_lines=tail_lines,
            limit_bytes=limit_bytes,
            limit_s=limit_s,
        )

    def follow_log(self, pod: str, *, namespace: str, container: str) -> AsyncGenerator[LogLine, None]:
        """Follow a container's log from its start to its end, each line once, over lost connections too."""
        return logs.follow_log(self._connection, pod, namespace=namespace, container=container)

    async def run(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str, timeout_s: float = 30.0
    ) -> ExecResult:
        """Run a command in a container to its end (pods/exec)."""
        return await streams.run_command(
            self._connection, pod, command, namespace=namespace, container=container, timeout_s=timeout_s
        )

    def open_exec(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> AbstractAsyncContextManager[ChannelStream]:
        """Run a command whose stdin and stdout are the stream; stderr is dropped."""
        return streams.open_exec(self._connection, pod, command, namespace=namespace, container=container)

    def open_attach(
        self, pod: str, *, namespace: str, container: str
    ) -> AbstractAsyncContextManager[ChannelStream]:
        """Attach to a container's own stdin and stdout; leaving detaches and ends nothing."""
        return streams.open_attach(self._connection, pod, namespace=namespace, container=container)

    def open_console(self, instance: str, *, namespace: str) -> AbstractAsyncContextManager[ConsoleStream]:
        """Open a VM's serial console, which closes any other connection to it."""
        return streams.open_console(self._connection, instance, namespace=namespace)


VERSION = Call("get", "/version")


@asynccontextmanager
async def open_cluster(login: Login, *, hint_denial: HintDenial | None = None) -> AsyncIterator[ClusterApi]:
    """Log in and check that the server answers; LoginError or UnreachableError say what is wrong and where it was read.

    hint_denial: returns the hint for what RBAC denies.
    """
    # It loads httpx, which a command that has the options of a cluster may never need.
    from freepage.kube.connection import open_connection

    async with open_connection(login, hint_denial) as (resolved, connection):
        # A user who may not even ask for the version is known all the same.
        with suppress(ForbiddenError):
            await _ask_version(connection)
        yield ClusterApi(resolved, connection)


async def _ask_version(connection: Connection) -> None:
    """Ask for the version: an address at which nothing answers is soon given up, a busy server is asked as often as ever."""
    for failures in count(1):
        try:
            await connection.ask(VERSION, Retries(1))
        except ClusterError as error:
            attempts = LOGIN_ATTEMPTS if isinstance(error, UnreachableError) else ATTEMPTS
            if failures >= attempts or not may_retry(error, safe=True):
                raise
            pause_s = find_pause(failures, error)
        else:
            return
        await asyncio.sleep(pause_s)


def _build_review(verb: str, resource: Resource, namespace: str, subresource: str) -> Call:
    asked = {
        "verb": verb,
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "subresource": subresource,
        "namespace": namespace,
    }
    review = {
        "apiVersion": ACCESS_REVIEWS.api_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": asked},
    }
    return build_call("create", ACCESS_REVIEWS, body=review)


def _write_query(dry_run: bool) -> dict[str, str]:
    return STRICT | ({"dryRun": "All"} if dry_run else {})


__all__ = [
    "ChannelStream",
    "ClusterApi",
    "ConsoleStream",
    "ExecResult",
    "LogLine",
    "Login",
    "WatchEvent",
    "open_cluster",
]

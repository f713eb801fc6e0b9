"""One cluster's API: the only module that knows the client library.

Every call raises the errors of cluster/errors.py and nothing else. Calls that met 429, 5xx or a lost connection and
can be repeated safely are repeated with growing pauses, honouring Retry-After; an expired token is renewed once.
Objects are the API's own, as dictionaries.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from freepage.cluster.resources import Object, Resource


@dataclass(frozen=True)
class Login:
    """How to get in; None is what kubectl would take (KUBECONFIG, ~/.kube/config, then the pod's service account)."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    token_file: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True)
class WatchEvent:
    """One change: type is "ADDED", "MODIFIED" or "DELETED"."""

    type: str
    object: Object


@dataclass(frozen=True)
class LogLine:
    """One line of a container's log without its newline, and the node's wall clock when it was written (s since 1970)."""

    time_s: float
    text: str


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container wrote, and its exit status (None: it could not be started, or was cut off)."""

    stdout: bytes
    stderr: bytes
    status: int | None


class ByteStream(Protocol):
    """A two-way stream of bytes (a console, or a container's stdin and stdout)."""

    async def read(self) -> bytes:
        """Give the next bytes; b"" at the end, OSError when the connection was lost."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes; OSError when the connection was lost."""
        ...


class ClusterApi:
    """One login to one cluster.

    server: its address. namespace: the one asked for, else the context's, else "default". user: who the login says it
    is, where that can be known without asking.
    """

    server: str
    namespace: str

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object: ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[Object]:
        """List in pages of 500; of all namespaces where `namespace` is None."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """List, then follow changes for ever: resumes where a connection was lost, lists again after 410."""
        ...

    async def create(
        self, resource: Resource, obj: Object, *, namespace: str | None = None, dry_run: bool = False
    ) -> Object:
        """Create with strict field validation; ExistsError for a name that is taken."""
        ...

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
        ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str | None = None,
        grace_s: int | None = None,
        propagation: str = "Background",
    ) -> None:
        """Delete; one that is gone already is no error."""
        ...

    async def served_versions(self, group: str) -> list[str]:
        """Give the versions of an API group the server has, preferred first; [] where it does not know the group."""
        ...

    async def server_version(self) -> str:
        """Give Kubernetes' own version ("v1.31.2")."""
        ...

    async def put_subresource(
        self, resource: Resource, name: str, subresource: str, *, namespace: str, body: Object | None = None
    ) -> None:
        """PUT to subresources.kubevirt.io, as for restarting a VM."""
        ...

    async def may(self, verb: str, resource: Resource, *, namespace: str | None, subresource: str = "") -> bool:
        """Ask the server whether this user may (SelfSubjectAccessReview)."""
        ...

    async def read_log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
    ) -> str:
        """Read what a container has logged so far."""
        ...

    def follow_log(self, pod: str, *, namespace: str, container: str) -> AsyncIterator[LogLine]:
        """Follow a container's log from its start to its end, each line once, over lost connections too."""
        ...

    async def run(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str, timeout_s: float = 30.0
    ) -> ExecResult:
        """Run a command in a container to its end (pods/exec)."""
        ...

    @asynccontextmanager
    async def open_exec(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> AsyncIterator[ByteStream]:
        """Run a command whose stdin and stdout are the stream; stderr is dropped."""
        ...
        yield NotImplemented

    @asynccontextmanager
    async def open_attach(self, pod: str, *, namespace: str, container: str) -> AsyncIterator[ByteStream]:
        """Attach to a container's own stdin and stdout; leaving detaches and ends nothing."""
        ...
        yield NotImplemented

    @asynccontextmanager
    async def open_console(self, instance: str, *, namespace: str) -> AsyncIterator[ByteStream]:
        """Open a VM's serial console; whoever had it open before loses it."""
        ...
        yield NotImplemented


@asynccontextmanager
async def open_cluster(login: Login) -> AsyncIterator[ClusterApi]:
    """Log in and check that the server answers; LoginError or UnreachableError say what is wrong and where it was read."""
    ...
    yield NotImplemented


__all__ = ["Any", "ByteStream", "ClusterApi", "ExecResult", "LogLine", "Login", "WatchEvent", "open_cluster"]

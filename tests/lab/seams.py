"""The protocols between the parts of the test cluster. All of them run in one asyncio loop of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Object = dict[str, Any]


class NotStartedError(Exception):
    """A container that is there has not started yet; the message says why, in a kubelet's words."""


class Duplex(Protocol):
    """A running attach, exec or console."""

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (1 or 2, bytes) of stdout and stderr as they come, until the end."""
        ...

    async def wait(self) -> int:
        """Return the exit status (exec only; attach and console: 0)."""
        ...

    async def close(self) -> None:
        """Let go: ends an exec'd process, leaves an attached container as it is."""
        ...


class Kubelet(Protocol):
    """A node of the test cluster, as the API server reaches it.

    Every method raises, before it gives anything: KeyError for a pod or container it does not have, NotStartedError for
    one that has not started (or runs no more, where it has to), ConnectionError when the node is gone.
    """

    def read_log(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_s: float | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]: ...

    async def attach(self, namespace: str, pod: str, container: str) -> Duplex: ...

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool
    ) -> Duplex: ...

    async def open_console(self, namespace: str, instance: str) -> Duplex:
        """Open a VM's serial console; one that was open before ends."""
        ...


class Store(Protocol):
    """The test cluster's objects (its etcd). `key` is (group, plural), as ("", "pods") or ("kubevirt.io", "kubevirts").

    Objects are kept in one version per kind; the API server converts. Every write gets the next resourceVersion.
    """

    kubelets: dict[str, Kubelet]

    def create(self, key: tuple[str, str], obj: Object) -> Object:
        """Add an object (name, namespace, uid, creationTimestamp, resourceVersion filled in); FileExistsError."""
        ...

    def get(self, key: tuple[str, str], namespace: str, name: str) -> Object:
        """Return a copy; KeyError when it is not there."""
        ...

    def list(self, key: tuple[str, str], namespace: str | None = None) -> list[Object]: ...

    def update(self, key: tuple[str, str], obj: Object) -> Object:
        """Replace an object; no check of its resourceVersion (controllers hold the newest)."""
        ...

    def merge(self, key: tuple[str, str], namespace: str, name: str, patch: Object) -> Object:
        """Apply a JSON merge patch; KeyError when it is not there."""
        ...

    def delete(self, key: tuple[str, str], namespace: str, name: str) -> None:
        """Mark an object deleted (deletionTimestamp) where it has finalizers, else remove it and what it owns."""
        ...

    def watch(self, key: tuple[str, str]) -> AsyncIterator[tuple[str, Object]]:
        """Yield ("ADDED", object) for all there are, then every change ("ADDED", "MODIFIED", "DELETED") until cancelled."""
        ...

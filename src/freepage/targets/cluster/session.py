"""The session all instances of a run share: the login, the run's scope in the cluster, and the watched objects."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from freepage.aio import finish
from freepage.errors import InstanceError
from freepage.kube.errors import ClusterError, ForbiddenError, UnreachableError
from freepage.kube.resources import (
    EVENTS,
    NODES,
    PODS,
    RUN_LABEL,
    VMIS,
    dig,
    name_of,
)
from freepage.kubevirt.scheduling import find_unscheduled
from freepage.targets.cluster.choices import READY_DEADLINE_S
from freepage.targets.cluster.objects import ObjectCache, open_cache
from freepage.targets.cluster.readiness import (
    PULL_ADVICE,
    describe_conditions,
    describe_events,
    describe_state,
    find_failure,
    is_launcher_of,
    is_node_ready,
    is_pull_failure,
    is_running,
    was_launcher_of,
)
from freepage.worker.channel import ReconnectingChannel
from freepage.worker.client import WorkerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource
    from freepage.targets.cluster.manifests import RunScope
    from freepage.targets.cluster.survey import ClusterSurvey
    from freepage.worker.channel import ByteStream

# Channels that are opened again: docs/decisions/009-connections-that-break.md.
GONE_DEADLINE_S = 60.0
# How long a broken connection waits for its object's status to say why.
CLOSING_GRACE_S = 3.0
# A node may still be freeing the trial before; one that takes nothing after this never will.
UNSCHEDULED_S = 20.0


@dataclass
class ClusterSession:
    """One run in one cluster."""

    api: ClusterApi
    scope: RunScope
    interval_s: float
    slots: asyncio.Semaphore
    ready_deadline_s: float = READY_DEADLINE_S
    caches: dict[Resource, ObjectCache] = field(default_factory=dict)

    @asynccontextmanager
    async def open_object(self, resource: Resource, manifest: Object, instance: str) -> AsyncIterator[None]:
        """Create an object and delete it at the end, waiting until it is gone; InstanceError says why it was refused."""
        try:
            await self._create(resource, manifest, instance)
        except asyncio.CancelledError:
            # It may have been created all the same; so it is with an answer that was lost.
            await self._remove(resource, name_of(manifest))
            raise
        try:
            yield
        finally:
            await self._remove(resource, name_of(manifest))

    async def _create(self, resource: Resource, manifest: Object, instance: str) -> None:
        try:
            await self.api.create(resource, manifest, namespace=self.scope.namespace)
        except ForbiddenError as error:
            if "quota" not in error.message:
                raise
            unbounded = "must specify" in error.message
            raise InstanceError(
                f"{instance} is not what the namespace's quota allows: {error.message}",
                hint="give the namespace a LimitRange with defaults for that, or use another --namespace"
                if unbounded
                else "use a smaller --scale, or another --namespace",
            ) from error
        except ClusterError as error:
            if not (isinstance(error, UnreachableError) or (error.status or 0) >= 500):
                raise
            await self._remove(resource, name_of(manifest))
            raise InstanceError(f"{instance} could not be created: {error.message}") from error

    async def wait_running(
        self, resource: Resource, name: str, instance: str, is_ready: Callable[[Object], bool] = is_running
    ) -> Object:
        """Wait until an object runs; InstanceError gives its conditions and events when it does not."""
        grace = _GracePeriod(UNSCHEDULED_S)

        def check(cache: ObjectCache) -> Object | None:
            obj = cache.objects.get(name)
            failure = self._find_failure(resource, obj)
            unscheduled = None if obj is None else find_unscheduled(self.find_launcher(name) or obj)
            if failure is None and grace.is_over(unscheduled is not None):
                failure = unscheduled
            if failure is not None:
                raise InstanceError(f"{instance} did not start: {failure}")
            return obj if obj is not None and is_ready(obj) else None

        try:
            return await self.caches[resource].wait_for(
                check, self.ready_deadline_s, f"{instance} did not run"
            )
        except InstanceError as error:
            words = [PULL_ADVICE] if is_pull_failure(error.message) else []
            raise InstanceError(
                error.message, hint="\n".join([*words, await self.explain(resource, name)])
            ) from error

    async def explain(self, resource: Resource, name: str) -> str:
        """Describe an object that is not as it should be, by its conditions and events: it is gone when this is read."""
        obj, launcher = self.caches[resource].objects.get(name), self.find_last_launcher(name)
        words = [w for seen in filter(None, (obj, launcher)) for w in describe_conditions(seen)]
        if obj is not None and not words:
            words += describe_state(obj)
        for seen_name in filter(None, (name, launcher and name_of(launcher))):
            with contextlib.suppress(ClusterError):
                fields = f"involvedObject.name={seen_name}"
                words += describe_events(await self.api.list(EVENTS, self.scope.namespace, fields=fields))
        return "\n".join(dict.fromkeys(words)) or "the cluster knows nothing more of it"

    def find_launcher(self, vm: str) -> Object | None:
        """Return the pod that carries a VM now; None before there is one."""
        return next(iter(self._find_launchers(vm, is_launcher_of)), None)

    def find_last_launcher(self, vm: str) -> Object | None:
        """Return the pod that carries a VM, else the newest that did; None where there was none."""
        past = self._find_launchers(vm, was_launcher_of)
        newest = max(past, key=lambda pod: str(dig(pod, "metadata", "creationTimestamp")), default=None)
        return self.find_launcher(vm) or newest

    def _find_launchers(self, vm: str, fits: Callable[[Object, Object], bool]) -> list[Object]:
        vmis = self.caches.get(VMIS)
        vmi = None if vmis is None else vmis.objects.get(vm)
        return [] if vmi is None else self.caches[PODS].find(lambda pod: fits(vmi, pod))

    def attach(self, pod: str, container: str) -> Callable[[], AbstractAsyncContextManager[ByteStream]]:
        return lambda: self.api.open_attach(pod, namespace=self.scope.namespace, container=container)

    def console(self, vm: str) -> Callable[[], AbstractAsyncContextManager[ByteStream]]:
        return lambda: self.api.open_console(vm, namespace=self.scope.namespace)

    @asynccontextmanager
    async def open_worker(
        self,
        open_stream: Callable[[], AbstractAsyncContextManager[ByteStream]],
        instance: str,
        resource: Resource,
        name: str,
        on_text: Callable[[bytes], None] | None = None,
    ) -> AsyncIterator[WorkerClient]:
        """Open the channel to an instance's worker; when its object or node fails, every wait on it ends with the reason."""
        async with AsyncExitStack() as stack:
            # One that might have passed was waited for already (kube/rights.py).
            channel = ReconnectingChannel(open_stream, on_text=on_text, final=(ForbiddenError,))
            client = WorkerClient(channel, instance, closing_grace_s=CLOSING_GRACE_S)
            stack.push_async_callback(client.close)
            await stack.enter_async_context(self.background(self._watch_object(client, resource, name)))
            await stack.enter_async_context(self.background(self._watch_node(client, resource, name)))
            yield client

    @asynccontextmanager
    async def background(self, work: Coroutine[object, object, None]) -> AsyncIterator[None]:
        """Run a task while the context lasts; its errors are not raised."""
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _remove(self, resource: Resource, name: str) -> None:
        """Delete an object and wait until it is gone; what cannot be deleted now goes with the run's owner."""
        with contextlib.suppress(ClusterError, InstanceError):
            await finish(self.api.delete(resource, name, namespace=self.scope.namespace, grace_s=0))
            if resource in self.caches:
                gone = f"{name} was not deleted"
                await self.caches[resource].wait_for(
                    lambda c: name not in c.objects or None, GONE_DEADLINE_S, gone
                )

    def _find_failure(self, resource: Resource, obj: Object | None) -> str | None:
        if obj is None:
            return None
        failure = find_failure(obj)
        if failure is None and resource == VMIS:
            launcher = self.find_launcher(name_of(obj))
            failure = None if launcher is None else find_failure(launcher)
        return failure

    async def _watch_object(self, client: WorkerClient, resource: Resource, name: str) -> None:
        def check(cache: ObjectCache) -> str | None:
            obj = cache.objects.get(name)
            return "it was deleted" if obj is None else self._find_failure(resource, obj)

        cause = await self.caches[resource].wait_for(check, None, "")
        client.fail(InstanceError(f"{client.instance}: {cause}", hint=await self.explain(resource, name)))

    async def _watch_node(self, client: WorkerClient, resource: Resource, name: str) -> None:
        if NODES not in self.caches:
            return
        obj = self.caches[resource].objects.get(name) or {}
        node = dig(obj, "spec", "nodeName") or dig(obj, "status", "nodeName")

        def check(cache: ObjectCache) -> str | None:
            seen = cache.objects.get(str(node))
            return "is not ready" if seen is not None and not is_node_ready(seen) else None

        cause = await self.caches[NODES].wait_for(check, None, "")
        client.fail(InstanceError(f"{client.instance}: its node {node} {cause}"))


class _GracePeriod:
    """Over when a condition has held for `limit_s` seconds without a break."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since_s: float | None = None

    def is_over(self, holds: bool) -> bool:
        if not holds:
            self._since_s = None
            return False
        self._since_s = self._since_s or time.monotonic()
        return time.monotonic() - self._since_s > self._limit_s


@asynccontextmanager
async def open_session(
    survey: ClusterSurvey, scope: RunScope, interval_s: float
) -> AsyncIterator[ClusterSession]:
    """Watch the run's pods and VMs, and its nodes where that is allowed."""
    choices = survey.choices
    slots = asyncio.Semaphore(choices.concurrency)
    session = ClusterSession(survey.api, scope, interval_s, slots, choices.ready_deadline_s)
    labels = f"{RUN_LABEL}={scope.run}"
    async with AsyncExitStack() as stack:
        for resource in (PODS, VMIS) if survey.with_vms else (PODS,):
            cache = open_cache(survey.api, resource, scope.namespace, labels=labels)
            session.caches[resource] = await stack.enter_async_context(cache)
        if await survey.api.may("watch", NODES, namespace=None):
            fields = f"metadata.name={survey.node_names[0]}" if len(survey.nodes) == 1 else None
            nodes = open_cache(survey.api, NODES, None, fields=fields)
            session.caches[NODES] = await stack.enter_async_context(nodes)
        yield session

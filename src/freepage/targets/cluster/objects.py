"""The current state of a run's objects, by one watch per resource, however many instances there are."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from freepage.errors import InstanceError
from freepage.kube.resources import name_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from freepage.kube.api import ClusterApi
    from freepage.kube.resources import Object, Resource

T = TypeVar("T")

RECHECK_S = 2.0


class ObjectCache:
    """The latest state of every object of one resource that a watch sees, by name."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None

    async def wait_for(
        self, check: Callable[[ObjectCache], T | None], deadline_s: float | None, problem: str
    ) -> T:
        """Wait until `check`, called at every change and every RECHECK_S, returns something; an error of its own is raised.

        Raises InstanceError with `problem` after `deadline_s` seconds; None is no deadline.
        """
        try:
            async with asyncio.timeout(deadline_s), self._changed:
                while True:
                    if self._failure is not None:
                        raise self._failure
                    found = check(self)
                    if found is not None:
                        return found
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(RECHECK_S):
                            await self._changed.wait()
        except TimeoutError as error:
            if deadline_s is None:
                raise
            raise InstanceError(f"{problem} within {deadline_s:.0f} s") from error

    def find(self, matches: Callable[[Object], bool]) -> list[Object]:
        return [o for o in self.objects.values() if matches(o)]

    async def follow(
        self,
        api: ClusterApi,
        resource: Resource,
        namespace: str | None,
        *,
        labels: str | None,
        fields: str | None,
    ) -> None:
        """Take every change until cancelled; an error that ends the watch ends every wait."""
        try:
            async for event in api.watch(resource, namespace, labels=labels, fields=fields):
                async with self._changed:
                    if event.type == "DELETED":
                        self.objects.pop(name_of(event.object), None)
                    else:
                        self.objects[name_of(event.object)] = event.object
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            async with self._changed:
                self._failure = error
                self._changed.notify_all()


@asynccontextmanager
async def open_cache(
    api: ClusterApi,
    resource: Resource,
    namespace: str | None,
    *,
    labels: str | None = None,
    fields: str | None = None,
) -> AsyncIterator[ObjectCache]:
    """Watch objects while the context lasts."""
    cache = ObjectCache()
    task = asyncio.create_task(cache.follow(api, resource, namespace, labels=labels, fields=fields))
    try:
        yield cache
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

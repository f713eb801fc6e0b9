"""What a run's objects look like now, kept up to date by one watch a kind, however many instances there are."""

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

JUDGE_AGAIN_S = 2.0


class ObjectCache:
    """The newest state of every object of one kind that a watch sees, by name."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self._changed = asyncio.Condition()
        self._failure: Exception | None = None

    async def wait(self, judge: Callable[[ObjectCache], T | None], deadline_s: float, complaint: str) -> T:
        """Wait until `judge` gives something, which it is asked for at every change and now and then; what it raises ends it.

        Raises InstanceError with `complaint` after `deadline_s` seconds.
        """
        try:
            async with asyncio.timeout(deadline_s), self._changed:
                while True:
                    if self._failure is not None:
                        raise self._failure
                    answer = judge(self)
                    if answer is not None:
                        return answer
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(JUDGE_AGAIN_S):
                            await self._changed.wait()
        except TimeoutError as error:
            raise InstanceError(f"{complaint} within {deadline_s:.0f} s") from error

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
        """Take every change for ever; what ends the watch ends every wait."""
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

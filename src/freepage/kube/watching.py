"""Listing a collection in pages, and following its changes until cancelled."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freepage.kube.call import LIST_LIMIT_S, build_call
from freepage.kube.errors import ClusterError, UnreachableError
from freepage.kube.lines import split_lines
from freepage.kube.resources import Object, Resource, dig, name_of, namespace_of
from freepage.kube.retries import STREAM_ATTEMPTS, Retries, find_pause

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from freepage.kube.connection import Connection

PAGE_OBJECTS = 500
# The server ends a watch after this long, so a dead one is noticed a little later at the latest.
WATCH_S = 240
QUIET_LIMIT_S = WATCH_S + 30.0
EXPIRED = 410


@dataclass(frozen=True)
class WatchEvent:
    """One change: type is "ADDED", "MODIFIED" or "DELETED"."""

    type: str
    object: Object


@dataclass(frozen=True)
class Collection:
    """The objects of one kind, in a namespace or in all, that fit some selectors."""

    resource: Resource
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None

    @property
    def query(self) -> dict[str, str | None]:
        return {"labelSelector": self.labels, "fieldSelector": self.fields}


@dataclass(frozen=True)
class Listing:
    """A collection's objects at one moment, which its resourceVersion names."""

    objects: list[Object]
    version: str


async def list_objects(connection: Connection, collection: Collection) -> Listing:
    """List in pages; in one piece where the pages' moment expired between two of them."""
    try:
        return await _list_pages(connection, collection, PAGE_OBJECTS)
    except ClusterError as error:
        if error.status != EXPIRED:
            raise
        return await _list_pages(connection, collection, None)


async def _list_pages(connection: Connection, collection: Collection, limit: int | None) -> Listing:
    objects: list[Object] = []
    token = ""
    while True:
        query = collection.query | {"limit": str(limit) if limit else None, "continue": token or None}
        page = await connection.ask(
            build_call(
                "list",
                collection.resource,
                namespace=collection.namespace,
                query=query,
                limit_s=LIST_LIMIT_S,
            )
        )
        objects += [_name_kind(o, collection.resource) for o in page.get("items") or []]
        token = dig(page, "metadata", "continue") or ""
        if not token:
            return Listing(objects, dig(page, "metadata", "resourceVersion") or "")


def _name_kind(obj: Object, resource: Resource) -> Object:
    # The server leaves both out of the items of a list.
    obj.setdefault("apiVersion", resource.api_version)
    obj.setdefault("kind", resource.kind)
    return obj


async def watch_objects(connection: Connection, collection: Collection) -> AsyncGenerator[WatchEvent, None]:
    """Yield what there is as ADDED, then every change; what was missed comes as the difference of two lists."""
    known: dict[str, Object] = {}
    while True:
        listing = await list_objects(connection, collection)
        listed = {_identify(o): o for o in listing.objects}
        changes = list(find_changes(known, listed))
        known = listed
        for change in changes:
            yield change
        async with aclosing(_follow(connection, collection, listing.version)) as events:
            async for event in events:
                if event.type == "DELETED":
                    known.pop(_identify(event.object), None)
                else:
                    known[_identify(event.object)] = event.object
                yield event


def find_changes(known: Mapping[str, Object], listed: Mapping[str, Object]) -> Iterator[WatchEvent]:
    """Yield the events that lead from one list to the next; both by uid, so an object made anew is another."""
    for uid, obj in known.items():
        if uid not in listed:
            yield WatchEvent("DELETED", obj)
    for uid, obj in listed.items():
        if uid not in known:
            yield WatchEvent("ADDED", obj)
        elif _version_of(known[uid]) != _version_of(obj):
            yield WatchEvent("MODIFIED", obj)


async def _follow(
    connection: Connection, collection: Collection, version: str
) -> AsyncGenerator[WatchEvent, None]:
    """Yield changes since a version over any number of connections, until the server has forgotten that version."""
    retries = Retries(STREAM_ATTEMPTS)
    while True:
        try:
            async with aclosing(_watch_once(connection, collection, version)) as events:
                async for event in events:
                    retries.start_over()
                    version = _version_of(event.object) or version
                    if event.type != "BOOKMARK":
                        yield event
        except ClusterError as error:
            if error.status == EXPIRED:
                return
            pause_s = retries.find_pause(error, safe=True)
        else:
            # The server ends a watch in order now and then.
            retries.start_over()
            pause_s = find_pause(1)
        await asyncio.sleep(pause_s)


async def _watch_once(
    connection: Connection, collection: Collection, version: str
) -> AsyncGenerator[WatchEvent, None]:
    query = collection.query | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(WATCH_S),
    }
    call = build_call(
        "watch", collection.resource, namespace=collection.namespace, query=query, quiet_s=QUIET_LIMIT_S
    )
    async with connection.stream(call) as pieces, aclosing(split_lines(pieces)) as lines:
        async for line in lines:
            yield _parse_event(line, collection.resource)


def _parse_event(line: bytes, resource: Resource) -> WatchEvent:
    try:
        change = json.loads(line)
        event = WatchEvent(change["type"], change["object"])
    except (ValueError, KeyError, TypeError) as error:
        # The last line of a connection that was cut off.
        raise UnreachableError(f"watching {resource.plural}: half an event") from error
    if event.type == "ERROR":
        message = dig(event.object, "message") or "the server ended it"
        raise ClusterError(f"watching {resource.plural}: {message}", status=dig(event.object, "code") or 500)
    return replace(event, object=_name_kind(event.object, resource))


def _identify(obj: Object) -> str:
    return str(dig(obj, "metadata", "uid") or f"{namespace_of(obj)}/{name_of(obj)}")


def _version_of(obj: Object) -> str:
    return str(dig(obj, "metadata", "resourceVersion") or "")

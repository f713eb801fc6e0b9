"""Getting, listing and watching objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from lab.messages import (
    answer,
    decode_continue,
    encode_continue,
    parse_number,
    parse_selectors,
    send_event,
    without_type,
)
from lab.statuses import StatusError, bad_request, expired, not_found
from lab.store import ExpiredError, namespaced_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.call import Call
    from lab.conversion import Conversion
    from lab.faults import OpenStreams
    from lab.seams import Object
    from lab.store import Change, MemoryStore

BOOKMARK_INTERVAL_S = 10.0
LONGEST_WATCH_S = 1800


class Reader:
    """Answer the calls that change nothing."""

    def __init__(self, store: MemoryStore, conversion: Conversion, streams: OpenStreams) -> None:
        self._store = store
        self._conversion = conversion
        self._streams = streams

    async def get(self, call: Call) -> web.Response:
        return answer(self._conversion.show(call, find(self._store, call)))

    async def list(self, call: Call) -> web.Response:
        """List, in pages where `limit` asks for them; each page is of its own time."""
        found = self._select(call)
        token = call.request.query.get("continue")
        if token:
            found = self._after(call, found, token)
        limit = parse_number(call.request.query, "limit", 0)
        page = found[:limit] if limit else found
        metadata: Object = {"resourceVersion": str(self._store.version)}
        if len(page) < len(found):
            metadata["continue"] = encode_continue(self._store.version, namespaced_name(page[-1]))
            metadata["remainingItemCount"] = len(found) - len(page)
        items = [self._conversion.show(call, obj) for obj in page]
        if not call.kind.custom:
            items = [without_type(item) for item in items]
        head = {"kind": f"{call.kind.kind}List", "apiVersion": call.api_version}
        return answer({**head, "metadata": metadata, "items": items})

    def _select(self, call: Call) -> list[Object]:
        fits = parse_selectors(call.request, call.kind)
        return [obj for obj in self._store.peek_all(call.key, call.namespace or None) if fits(obj)]

    def _after(self, call: Call, found: list[Object], token: str) -> list[Object]:
        version, last = decode_continue(token)
        if self._store.has_forgotten(call.key, version):
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            )
        return [obj for obj in found if namespaced_name(obj) > last]

    async def watch(self, call: Call) -> web.StreamResponse:
        """Follow changes until the client or `timeoutSeconds` ends it."""
        since = self._first_version(call)
        watch = _Watch(self._store, self._conversion, call)
        limit_s = parse_number(call.request.query, "timeoutSeconds", LONGEST_WATCH_S)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(call.request)
        with self._streams.opened("watch", call.request):
            try:
                await watch.send(response, since, limit_s)
            except ExpiredError:
                words = f"too old resource version: {since} ({self._store.version})"
                await send_event(response, "ERROR", expired(words).as_object())
        await response.write_eof()
        return response

    def _first_version(self, call: Call) -> int:
        """Return the version to start from; 0: with everything there is."""
        text = call.request.query.get("resourceVersion") or "0"
        if not text.isdecimal():
            raise bad_request(f'resourceVersion: Invalid value: "{text}": must be a number')
        if int(text) > self._store.version:
            words = f"Timeout: Too large resource version: {text}, current: {self._store.version}"
            raise StatusError(504, "Timeout", words, retry_after_s=1)
        return int(text)


class _Watch:
    """One watch: what of a kind it sees, and in which version."""

    def __init__(self, store: MemoryStore, conversion: Conversion, call: Call) -> None:
        self._store = store
        self._conversion = conversion
        self._call = call
        self._fits: Callable[[Object], bool] = parse_selectors(call.request, call.kind)
        self._bookmarks = call.request.query.get("allowWatchBookmarks") in {"true", "1"}

    async def send(self, response: web.StreamResponse, since: int, limit_s: float) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + limit_s
        known = [] if since else self._store.peek_all(self._call.key, self._call.namespace or None)
        with self._store.follow(self._call.key, since or self._store.version) as changes:
            for obj in filter(self._fits, known):
                await send_event(response, "ADDED", self._conversion.show(self._call, obj))
            while (left := end - clock()) > 0:
                try:
                    async with asyncio.timeout(min(left, BOOKMARK_INTERVAL_S)):
                        change = await changes.get()
                except TimeoutError:
                    await self._send_bookmark(response)
                else:
                    await self._send_change(response, change)

    async def _send_change(self, response: web.StreamResponse, change: Change) -> None:
        """Send a change as this watch sees it: what no longer fits its selector is deleted to it."""
        if self._call.namespace not in ("", change.object["metadata"].get("namespace", "")):
            return
        now = change.type != "DELETED" and self._fits(change.object)
        before = change.before is not None and self._fits(change.before)
        if now or before:
            kind = "DELETED" if not now else "MODIFIED" if before else "ADDED"
            await send_event(response, kind, self._conversion.show(self._call, change.object))

    async def _send_bookmark(self, response: web.StreamResponse) -> None:
        if self._bookmarks:
            bookmark = {
                "kind": self._call.kind.kind,
                "apiVersion": self._call.api_version,
                "metadata": {"resourceVersion": str(self._store.version), "creationTimestamp": None},
            }
            await send_event(response, "BOOKMARK", bookmark)


def find(store: MemoryStore, call: Call) -> Object:
    """Return what a call is on, as stored; it is not to be changed."""
    try:
        return store.peek(call.key, call.namespace, call.name)
    except KeyError:
        raise not_found(call.kind.group, call.kind.plural, call.name) from None

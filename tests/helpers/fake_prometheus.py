"""A Prometheus that holds what a test gives it, with the real one's limit on points and its own way to say no."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

MOST_STEPS = 11_000


@dataclass
class Held:
    """One stored series: its labels (with __name__) and its samples (time, value as text)."""

    labels: dict[str, str]
    samples: list[tuple[float, str]]


@dataclass
class FakePrometheus:
    """What is asked is matched by the names and label matchers in it; an expression gives its first series' values.

    answer: replaces every reply by (status, content type, text). ahead_s: how far its clock is ahead. redirect: where it
    sends everybody. packed: with gzip.
    """

    series: list[Held] = field(default_factory=list)
    answer: tuple[int, str, str] | None = None
    ahead_s: float = 0.0
    warnings: list[str] = field(default_factory=list)
    refused: str | None = None
    redirect: str | None = None
    packed: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def handle(self, request):
        self.headers.append(dict(request.headers))
        self.asked.append({"path": request.path, **request.query})
        if self.redirect is not None or self.answer is not None:
            return self._answer_all()
        query = request.query.get("query", "")
        if self.refused is not None and self.refused in query:
            return _refuse(f"no {self.refused} today")
        return self._evaluate(request, query)

    def _evaluate(self, request, query):
        if request.path.endswith("/buildinfo"):
            return _reply({"version": "2.42.0"})
        if query == "time()":
            now_s = time.time() + self.ahead_s
            return _reply({"resultType": "scalar", "result": [now_s, str(now_s)]})
        if request.path.endswith("/series"):
            return self._series(
                request.query.getall("match[]"), *(float(request.query[key]) for key in ("start", "end"))
            )
        if request.path.endswith("/query_range"):
            return self._range(query, *(float(request.query[key]) for key in ("start", "end", "step")))
        return self._instant(query, float(request.query.get("time", time.time())))

    def _answer_all(self):
        if self.redirect is not None:
            return web.Response(status=302, headers={"location": self.redirect})
        status, kind, text = self.answer
        answer = web.Response(status=status, content_type=kind, text=text)
        if self.packed:
            answer.enable_compression(web.ContentCoding.gzip)
        return answer

    def _series(self, selectors, start, end):
        found = (held for selector in selectors for held in self._find(selector))
        return _reply(
            [h.labels for h in found if any(start <= t <= end for t, _ in h.samples)], self.warnings
        )

    def _range(self, query, start, end, step):
        if (end - start) / step > MOST_STEPS:
            return _refuse("exceeded maximum resolution of 11,000 points per timeseries.")
        grid = [start + n * step for n in range(int((end - start) / step + 1e-6) + 1)]
        found = [
            (h.labels, [(t, v) for t in grid if (v := _at(h, t)) is not None]) for h in self._find(query)
        ]
        return self._matrix([(labels, values) for labels, values in found if values])

    def _instant(self, query, at):
        window = re.search(r"\[(\d+)s\]$", query)
        if window is None:
            found = [(h.labels, _at(h, at)) for h in self._find(query)]
            result = [{"metric": labels, "value": [at, v]} for labels, v in found if v is not None]
            return _reply({"resultType": "vector", "result": result}, self.warnings)
        start = at - int(window[1])
        # Both ends belong to the window, as before Prometheus 3: a sample at a seam comes twice.
        found = [(h.labels, [(t, v) for t, v in h.samples if start <= t <= at]) for h in self._find(query)]
        return self._matrix([(labels, values) for labels, values in found if values])

    def _matrix(self, found):
        result = [{"metric": labels, "values": [[t, v] for t, v in values]} for labels, values in found]
        return _reply({"resultType": "matrix", "result": result}, self.warnings)

    def _find(self, query):
        matchers = re.findall(r'(\w+)(=~|!=|=)"((?:[^"\\]|\\.)*)"', query)
        names = set(re.findall(r"\b(?:node|kube|kubevirt|container)_\w+", re.sub(r'"[^"]*"', "", query)))
        return [
            held
            for held in self.series
            if (not names or held.labels["__name__"] in names)
            and all(_matches(held.labels.get(label, ""), how, text) for label, how, text in matchers)
        ]


def _matches(value, how, text):
    text = text.replace("\\\\", "\\")
    if how == "=~":
        return re.fullmatch(text, value) is not None
    return (value == text) == (how == "=")


def _at(held, at):
    """The newest sample of the five minutes before."""
    return next((v for t, v in reversed(held.samples) if at - 300 < t <= at), None)


def _reply(data, warnings=()):
    return web.json_response(
        {"status": "success", "data": data, **({"warnings": list(warnings)} if warnings else {})}
    )


def _refuse(words):
    return web.json_response({"status": "error", "errorType": "bad_data", "error": words}, status=400)


@asynccontextmanager
async def serve(fake):
    """Serve on a loopback port and give the address."""
    app = web.Application()
    app.router.add_get("/{path:.*}", fake.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()

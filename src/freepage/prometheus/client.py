"""Asks a Prometheus, or a Thanos that speaks its API: expressions over a span, and samples at their own times.

Times are seconds since 1970 by Prometheus' clock. A value that is no number (NaN, +Inf) is None: missing.
"""

from __future__ import annotations

import math
import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from freepage.errors import FreepageError
from freepage.records import ClockOffset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    import httpx

# A server refuses more than 11,000 steps for one query; Prometheus counts (end - start) / step.
MOST_POINTS = 10_000
# How much of stored samples one query asks for.
RAW_SPAN_S = 3600
ANSWER_S = 60.0
CONNECT_S = 10.0
VM_MEMORY = ("resident", "available", "unused", "usable", "cached", "actual_balloon")

TOKEN_HINT = "give a token with --prometheus-token-file, for example of: oc whoami -t"  # noqa: S105 - how to get one
RIGHTS_HINT = (
    "let the user read metrics: oc adm policy add-cluster-role-to-user cluster-monitoring-view USER "
    "(elsewhere, what the proxy before Prometheus asks for)"
)
ADDRESS_HINT = "give the address Prometheus or Thanos answers at, as http://HOST:9090"
LATER_HINT = "ask again later: freepage prometheus RUN --prometheus URL"
CA_HINT = (
    "give the CA with --prometheus-ca-file; OpenShift has it in the ConfigMap default-ingress-cert of "
    "openshift-config-managed"
)


class PrometheusError(FreepageError):
    """Prometheus cannot be asked, or does not answer as one."""

    exit_status = 8


class QueryError(PrometheusError):
    """Prometheus refuses one query, or could not finish it; others may work."""


@dataclass(frozen=True)
class Settings:
    """Which Prometheus to ask, as whom, and about what.

    ca: certificates (PEM) to trust besides the system's; ca_file: to trust instead of them. nodes, namespace, names (how
    the names of VMs and pods begin): those of the run itself by default.
    """

    url: str
    token_file: Path | None = None
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    ca: str | None = field(default=None, repr=False)
    nodes: tuple[str, ...] = ()
    namespace: str | None = None
    names: str | None = None


@dataclass(frozen=True)
class TimeSeries:
    """One series of an answer: its labels, and (time, value) in order."""

    labels: dict[str, str]
    points: list[tuple[float, float | None]]


@dataclass(frozen=True)
class Span:
    """A span of whole seconds."""

    start_s: int
    end_s: int


def split_range(span: Span, step_s: float) -> list[tuple[float, float]]:
    """Cut a span into (first, last) times of a grid `step_s` apart, with at most MOST_POINTS points from one to the other."""
    count = math.floor((span.end_s - span.start_s) / step_s + 1e-9) + 1
    return [
        (span.start_s + first * step_s, span.start_s + (min(first + MOST_POINTS, count) - 1) * step_s)
        for first in range(0, count, MOST_POINTS)
    ]


def split_span(span: Span) -> list[Span]:
    """Cut a span into those that one query for stored samples covers; each ends where the next begins."""
    starts = range(span.start_s, span.end_s, RAW_SPAN_S)
    return [Span(start, min(start + RAW_SPAN_S, span.end_s)) for start in starts]


def join_chunks(chunks: Iterable[list[TimeSeries]]) -> list[TimeSeries]:
    """Join the answers for consecutive chunks: each series once, each of its times once, in order."""
    labels: dict[frozenset[tuple[str, str]], dict[str, str]] = {}
    points: dict[frozenset[tuple[str, str]], dict[float, float | None]] = {}
    for series in (series for chunk in chunks for series in chunk):
        key = frozenset(series.labels.items())
        labels.setdefault(key, series.labels)
        points.setdefault(key, {}).update(series.points)
    return [TimeSeries(labels[key], sorted(found.items())) for key, found in points.items()]


def parse_value(text: str) -> float | None:
    """Read a sample's value; None for what is no number."""
    value = float(text)
    return value if math.isfinite(value) else None


def clean_url(text: str) -> tuple[str, tuple[str, str] | None]:
    """Give the address without /api, and the user and password that stood in it.

    Raises PrometheusError for what is no address of a server.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_valid_port(parts):
        raise PrometheusError(f"{_without_login(text)} is not an address of Prometheus", hint=ADDRESS_HINT)
    if parts.query or parts.fragment:
        raise PrometheusError(
            f"the address of Prometheus ends with a query: {_without_login(text)}", hint=ADDRESS_HINT
        )
    path = parts.path.rstrip("/").removesuffix("/api/v1").removesuffix("/api")
    plain = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], path, "", ""))
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
    return plain, login


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _without_login(text: str) -> str:
    """Give an address without who logs in there and what else could be a secret."""
    before, slashes, rest = text.partition("//")
    host, slash, path = rest.split("?")[0].partition("/")
    return f"{before}{slashes}{host.rpartition('@')[2]}{slash}{path}"


class PrometheusClient:
    """One connection to one Prometheus; `warnings` gathers what it said beside its answers."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self.url = url
        self.warnings: list[str] = []

    async def query(self, query: str, at_s: float | None = None) -> list[TimeSeries]:
        """Evaluate an expression at one time, now by default: one point for each series."""
        parameters = {"query": query} | ({} if at_s is None else {"time": _time(at_s)})
        return _read_series(await self._ask("query", parameters, query))

    async def query_range(self, query: str, span: Span, step_s: float) -> list[TimeSeries]:
        """Evaluate an expression every `step_s` seconds of a span, in as many queries as the server's limit needs."""
        chunks = []
        for first_s, last_s in split_range(span, step_s):
            parameters = {
                "query": query,
                "start": _time(first_s),
                "end": _time(last_s),
                "step": _time(step_s),
            }
            chunks.append(_read_series(await self._ask("query_range", parameters, query)))
        return join_chunks(chunks)

    async def query_samples(self, selector: str, span: Span) -> list[TimeSeries]:
        """Give the samples of a span as they are stored, with their own times."""
        chunks = []
        for part in split_span(span):
            query = f"{selector}[{part.end_s - part.start_s}s]"
            chunks.append(await self.query(query, part.end_s))
        return join_chunks(chunks)

    async def measure_clock(self) -> ClockOffset:
        """Compare clocks: Prometheus' minus ours, and half the round trip."""
        before_s = time.time()
        answer = await self._ask("query", {"query": "time()"}, "time()")
        after_s = time.time()
        theirs_s = float(answer["result"][0])
        return ClockOffset(theirs_s - (before_s + after_s) / 2, (after_s - before_s) / 2)

    async def read_version(self) -> str | None:
        """Give the server's version; None where it does not say."""
        try:
            answer = await self._ask("status/buildinfo", {}, "its version")
        except PrometheusError:
            return None
        return str(answer["version"]) if answer.get("version") else None

    async def _ask(self, path: str, parameters: dict[str, str], query: str) -> dict[str, Any]:
        """Give the `data` of one answer."""
        import httpx

        try:
            response = await self._http.get(f"{self.url}/api/v1/{path}", params=parameters)
        except httpx.TimeoutException as error:
            raise PrometheusError(
                f"{self.url} did not answer within {ANSWER_S:.0f} s: {query}", hint=LATER_HINT
            ) from error
        except httpx.RequestError as error:
            hint = CA_HINT if "CERTIFICATE_VERIFY_FAILED" in str(error) else ADDRESS_HINT
            raise PrometheusError(f"cannot reach {self.url}: {error}", hint=hint) from error
        return self._check(response, query)

    def _check(self, response: httpx.Response, query: str) -> dict[str, Any]:
        answer = _read_json(response)
        if response.status_code in {401, 403} or answer.get("status") not in {"success", "error"}:
            raise _refusal(self.url, response)
        for word in (*answer.get("warnings", ()), *answer.get("infos", ())):
            if word not in self.warnings:
                self.warnings.append(word)
        if answer["status"] != "success":
            raise QueryError(
                f"{self.url} refuses a query ({answer.get('errorType')}): {answer.get('error')}; it was: {query}"
            )
        data = answer.get("data")
        return data if isinstance(data, dict) else {}


def _read_json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _refusal(url: str, response: httpx.Response) -> PrometheusError:
    """Say what an answer means that is not Prometheus' own."""
    status = response.status_code
    if status == 401 or response.is_redirect:
        return PrometheusError(f"{url} does not know who is asking (HTTP {status})", hint=TOKEN_HINT)
    if status == 403:
        return PrometheusError(f"{url} does not let this user read metrics (HTTP 403)", hint=RIGHTS_HINT)
    kind = response.headers.get("content-type", "nothing").split(";")[0]
    return PrometheusError(
        f"{url} does not answer as a Prometheus does: HTTP {status} with {kind}", hint=ADDRESS_HINT
    )


def _read_series(data: dict[str, Any]) -> list[TimeSeries]:
    """Read a vector or a matrix; histograms have no points."""
    found = data.get("result", ())
    return [
        TimeSeries(
            series.get("metric", {}),
            [(float(t), parse_value(v)) for t, v in series.get("values") or [series["value"]]],
        )
        for series in found
        if "values" in series or "value" in series
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"


@asynccontextmanager
async def open_prometheus(settings: Settings) -> AsyncIterator[PrometheusClient]:
    """Open a client; PrometheusError for an address, token or CA that cannot be used."""
    import httpx

    url, login = clean_url(settings.url)
    token = settings.token if settings.token_file is None else _read_token(settings.token_file)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    async with httpx.AsyncClient(
        headers=headers, auth=login, verify=_trust(settings), timeout=timeout
    ) as http:
        yield PrometheusClient(http, url)


def _read_token(path: Path) -> str:
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PrometheusError(f"cannot read the token in {path}: {reason}", hint=TOKEN_HINT) from error
    if not token or len(token.split()) > 1:
        raise PrometheusError(f"{path} holds no token", hint=TOKEN_HINT)
    return token


def _trust(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.ca is not None and settings.ca_file is None:
            context.load_verify_locations(cadata=settings.ca)
    except (OSError, ssl.SSLError, ValueError) as error:
        source = settings.ca_file or "the cluster's own certificate"
        raise PrometheusError(f"cannot use the CA in {source}: {error}", hint=CA_HINT) from error
    # Python 3.13 asks more of a CA than clusters' own CAs have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def read_vm_memory(settings: Settings) -> dict[tuple[str, str], dict[str, float | None]]:
    """Give the memory of every VM KubeVirt exports, now: bytes by (namespace, name), then by the names in VM_MEMORY.

    One query, however many VMs there are.
    """
    query = f'{{__name__=~"kubevirt_vmi_memory_({"|".join(VM_MEMORY)})_bytes"}}'
    async with open_prometheus(settings) as client:
        found = await client.query(query)
    memory: dict[tuple[str, str], dict[str, float | None]] = {}
    for series in found:
        labels = series.labels
        vm = labels.get("namespace", ""), labels.get("name", "")
        name = labels["__name__"].removeprefix("kubevirt_vmi_memory_").removesuffix("_bytes")
        memory.setdefault(vm, {})[name] = series.points[-1][1]
    return memory


async def check_prometheus(settings: Settings) -> None:
    """Raise now what would stand in the way of asking after the run."""
    async with open_prometheus(settings) as client:
        await client.measure_clock()

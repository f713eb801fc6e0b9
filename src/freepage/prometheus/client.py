"""Asks a Prometheus, or one that speaks its API (Thanos, Mimir, VictoriaMetrics): expressions over a span, and samples at their own times."""

from __future__ import annotations

import ssl
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from freepage.kube.errors import LoginError
from freepage.kube.login_files import read_pem, read_token
from freepage.kube.tls import build_tls
from freepage.prometheus.address import clean_url
from freepage.prometheus.errors import (
    ADDRESS_HINT,
    CA_HINT,
    LATER_HINT,
    TOKEN_HINT,
    PrometheusError,
)
from freepage.prometheus.replies import read_reply
from freepage.prometheus.series import (
    Span,
    TimeSeries,
    join_chunks,
    read_labels,
    read_series,
    split_range,
    split_span,
)
from freepage.records import ClockOffset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    import httpx

ANSWER_S = 60.0
CONNECT_S = 10.0


@dataclass(frozen=True)
class Settings:
    """The Prometheus to ask, the login for it, and what to ask about.

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


class PrometheusClient:
    """One connection to one Prometheus; `warnings` collects the warnings beside its answers.

    answered_s: when the last answer was given, by the server's clock.
    """

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self._http = http
        self.url = url
        self.warnings: list[str] = []
        self.answered_s = time.time()

    async def query(self, query: str, at_s: float | None = None) -> list[TimeSeries]:
        """Evaluate an expression at one time, now by default: one point for each series."""
        parameters = {"query": query} | ({} if at_s is None else {"time": _time(at_s)})
        return read_series(await self._ask("query", parameters, query))

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
            chunks.append(read_series(await self._ask("query_range", parameters, query)))
        return join_chunks(chunks)

    async def query_samples(self, selector: str, span: Span) -> list[TimeSeries]:
        """Return the samples of a span as they are stored, with their own times."""
        chunks = []
        for part in split_span(span):
            query = f"{selector}[{part.end_s - part.start_s}s]"
            chunks.append(await self.query(query, part.end_s))
        return join_chunks(chunks)

    async def find_series(self, selectors: Sequence[str], span: Span) -> list[dict[str, str]]:
        """Return the labels of every series of a span that one of the selectors matches."""
        times = {"start": _time(span.start_s), "end": _time(span.end_s)}
        parameters = {"match[]": list(selectors), **times}
        return read_labels(await self._ask("series", parameters, " or ".join(selectors)))

    async def measure_clock(self) -> ClockOffset:
        """Compare clocks: Prometheus' minus ours, and half the round trip."""
        before_s = time.time()
        found = read_series(await self._ask("query", {"query": "time()"}, "time()"))
        after_s = time.time()
        if not found or not found[0].points:
            raise PrometheusError(f"{self.url} does not say what time it is", hint=ADDRESS_HINT)
        # The time of evaluation, not its value: VictoriaMetrics evaluates some seconds in the past.
        theirs_s = found[0].points[-1][0]
        return ClockOffset(theirs_s - (before_s + after_s) / 2, (after_s - before_s) / 2)

    async def read_version(self) -> str | None:
        """Return the server's version; None where it does not report one."""
        try:
            answer = await self._ask("status/buildinfo", {}, "its version")
        except PrometheusError:
            return None
        return str(answer["version"]) if answer.get("version") else None

    async def _ask(
        self, path: str, parameters: Mapping[str, str | Sequence[str]], query: str
    ) -> dict[str, Any]:
        """Return the `data` of one answer."""
        import httpx

        try:
            response = await self._http.get(f"{self.url}/api/v1/{path}", params=parameters)
        except httpx.TimeoutException as error:
            raise PrometheusError(
                f"{self.url} did not answer within {ANSWER_S:.0f} s: {query}", hint=LATER_HINT
            ) from error
        except httpx.RequestError as error:
            if isinstance(error, httpx.DecodingError):
                raise PrometheusError(f"the answer of {self.url} cannot be unpacked: {error}") from error
            hint = CA_HINT if "CERTIFICATE_VERIFY_FAILED" in str(error) else ADDRESS_HINT
            raise PrometheusError(f"cannot reach {self.url}: {error}", hint=hint) from error
        self.answered_s = _read_date(response)
        reply = read_reply(response, self.url, query)
        self.warnings += [word for word in dict.fromkeys(reply.warnings) if word not in self.warnings]
        return reply.data


def _read_date(response: httpx.Response) -> float:
    """Return when an answer was given by the server's clock, to the second (since 1970); by ours where it does not say."""
    try:
        return parsedate_to_datetime(response.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


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
        headers=headers, auth=login, verify=_build_tls(settings), timeout=timeout
    ) as http:
        yield PrometheusClient(http, url)


def _read_token(path: Path) -> str:
    try:
        token = read_token(path)
    except LoginError as error:
        raise PrometheusError(error.message, hint=TOKEN_HINT) from error
    if token is None:
        raise PrometheusError(f"{path} holds no token", hint=TOKEN_HINT)
    return token


def _build_tls(settings: Settings) -> ssl.SSLContext:
    try:
        if settings.ca_file is not None:
            return build_tls(read_pem(settings.ca_file, "CA file"))
        context = build_tls(None)
        if settings.ca is not None:
            context.load_verify_locations(cadata=settings.ca)
    except (LoginError, ssl.SSLError, ValueError) as error:
        source = settings.ca_file or "the cluster's own certificate"
        raise PrometheusError(
            f"cannot use the CA in {source}: {error.__cause__ or error}", hint=CA_HINT
        ) from error
    return context


async def check_prometheus(settings: Settings) -> None:
    """Raise PrometheusError for what would prevent asking after the run."""
    async with open_prometheus(settings) as client:
        await client.measure_clock()

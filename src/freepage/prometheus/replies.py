"""The reply of a server: its data and warnings, or why it is no answer of a Prometheus or of one that speaks its API.

Thanos, Mimir, VictoriaMetrics and OpenShift's proxies before them add fields, leave some out, or answer in pages and in
plain text: https://prometheus.io/docs/prometheus/latest/querying/api/ is what they have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freepage.prometheus.errors import (
    ADDRESS_HINT,
    LATER_HINT,
    PAGE_HINT,
    RIGHTS_HINT,
    TENANCY_HINT,
    TOKEN_HINT,
    PrometheusError,
    QueryError,
)

if TYPE_CHECKING:
    import httpx

PARTIAL = "the answer is partial: not all of the server's storage has answered"
_WORDS_SHOWN = 200


@dataclass(frozen=True)
class Reply:
    """The data of one answer, and what the server said beside it."""

    data: dict[str, Any]
    warnings: tuple[str, ...]


def read_reply(response: httpx.Response, url: str, query: str) -> Reply:
    """Read an answer; QueryError for a query that is refused, PrometheusError for what is no answer."""
    answer = _read_json(response)
    if response.status_code in {401, 403} or answer.get("status") not in ("success", "error"):
        raise _build_refusal(response, answer, url)
    if answer["status"] == "error":
        words = str(answer.get("error"))
        raise QueryError(
            f"{url} refuses a query ({answer.get('errorType')}): {words}; it was: {query}",
            hint=TENANCY_HINT if "namespace" in words and "must be" in words else None,
        )
    data = answer.get("data")
    said = (*_texts(answer.get("warnings")), *_texts(answer.get("infos")))
    partial = (PARTIAL,) if answer.get("isPartial") is True else ()
    # Lists of labels come bare.
    data = {"result": data} if isinstance(data, list) else data
    return Reply(data if isinstance(data, dict) else {}, (*said, *partial))


def _read_json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    """Return what a server has as a list of texts, as one text, or as null."""
    values = value if isinstance(value, list) else [value]
    return tuple(str(each) for each in values if each)


def _build_refusal(response: httpx.Response, answer: dict[str, Any], url: str) -> PrometheusError:
    """Build the error for an answer that is not Prometheus' own."""
    status, said = response.status_code, _say(response, answer)
    moved = _find_moved(response) if response.has_redirect_location else None
    if moved not in {None, url}:
        return PrometheusError(f"{url} has moved to {moved}", hint=f"give that address: {moved}")
    if status == 401 or response.is_redirect:
        return PrometheusError(f"{url} does not know who is asking (HTTP {status}{said})", hint=TOKEN_HINT)
    if status == 403:
        return PrometheusError(
            f"{url} does not let this user read metrics (HTTP 403{said})", hint=RIGHTS_HINT
        )
    if status == 429 or status >= 500:
        return PrometheusError(f"{url} cannot answer now (HTTP {status}{said})", hint=LATER_HINT)
    kind = response.headers.get("content-type", "nothing").split(";")[0]
    if status < 300 and kind == "text/html":
        return PrometheusError(
            f"{url} answers with a web page, as a login does: HTTP {status}", hint=PAGE_HINT
        )
    https = url.removeprefix("http://")
    hint = (
        f"give the address as https://{https}" if "https" in said.lower() and https != url else ADDRESS_HINT
    )
    return PrometheusError(
        f"{url} does not answer as a Prometheus does: HTTP {status} with {kind}{said}", hint=hint
    )


def _find_moved(response: httpx.Response) -> str | None:
    """Return the address to which the API itself is redirected; None for a login, which is elsewhere."""
    target = response.url.join(response.headers["location"])
    asked = response.url.path[response.url.path.rfind("/api/v1/") :]
    if not target.path.endswith(asked):
        return None
    return f"{target.scheme}://{target.netloc.decode('ascii')}{target.path.removesuffix(asked)}"


def _say(response: httpx.Response, answer: dict[str, Any]) -> str:
    """Return the server's own words, to stand behind a status; "" for those of a web page."""
    words = next((str(answer[key]) for key in ("error", "message") if answer.get(key)), "")
    if not words and response.headers.get("content-type", "").startswith("text/plain"):
        words = response.text.strip().split("\n")[0]
    shown = "".join(c if c.isprintable() else " " for c in words[:_WORDS_SHOWN]).strip()
    return f": {shown}" if shown else ""

"""Bodies of requests and answers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import yaml
from aiohttp import web

from lab.selection import parse_fields, parse_labels
from lab.statuses import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.kinds import Kind
    from lab.seams import Object
    from lab.statuses import StatusError


async def read_body(request: web.Request) -> Object:
    """Read a JSON or YAML object; an empty body is an empty object."""
    text = await request.text()
    if not text.strip():
        return {}
    try:
        body = yaml.safe_load(text) if "yaml" in request.content_type else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return body


async def read_delete_options(request: web.Request) -> Object:
    """Read DeleteOptions, from the body and from the query."""
    options = await read_body(request)
    for key in ("propagationPolicy", "gracePeriodSeconds"):
        if key in request.query:
            options[key] = request.query[key]
    if "gracePeriodSeconds" in options:
        options["gracePeriodSeconds"] = int(options["gracePeriodSeconds"])
    return options


def parse_number(query: Mapping[str, str], key: str, default: int) -> int:
    try:
        return int(query.get(key, default))
    except ValueError:
        raise bad_request(f"{key}: invalid value {query[key]!r}: must be a number") from None


def parse_selectors(request: web.Request, kind: Kind) -> Callable[[Object], bool]:
    labels = parse_labels(request.query.get("labelSelector", ""))
    fields = parse_fields(kind.key, request.query.get("fieldSelector", ""))
    return lambda obj: labels(obj) and fields(obj)


def answer(obj: Object, status: int = 200) -> web.Response:
    body = json.dumps(obj, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def refuse(refusal: StatusError) -> web.Response:
    response = answer(refusal.as_object(), refusal.code)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


def refuse_busy(retry_after_s: int | None) -> web.Response:
    """Refuse as API priority and fairness does: no Status, and headers that name the level it was put in."""
    headers = {
        "Retry-After": str(1 if retry_after_s is None else retry_after_s),
        "X-Kubernetes-PF-FlowSchema-UID": "6d3e1c5a-0000-4000-8000-000000000001",
        "X-Kubernetes-PF-PriorityLevel-UID": "6d3e1c5a-0000-4000-8000-000000000002",
    }
    words = "Too many requests, please try again later.\n"
    return web.Response(status=429, text=words, headers=headers)


async def send_event(response: web.StreamResponse, kind: str, obj: Object) -> None:
    await response.write(json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n")


def without_type(item: Object) -> Object:
    """Return an item of a list as the server gives its own kinds: the list says what they are."""
    return {key: value for key, value in item.items() if key not in {"kind", "apiVersion"}}


def encode_continue(version: int, key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *key]).encode()).decode()


def decode_continue(token: str) -> tuple[int, tuple[str, str]]:
    """Return the version a list was begun at, and the last object it gave."""
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return version, (namespace, name)

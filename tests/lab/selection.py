"""Label and field selectors, as lists and watches take them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.statuses import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.seams import Object
    from lab.store import Key


# The fields a kind can be selected by, beside its name and namespace.
FIELDS: dict[Key, tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
    ),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "reason",
        "type",
    ),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
}

_SET = re.compile(r"([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)")
_EXISTS = re.compile(r"(!?)\s*([^\s!=,()]+)")


def parse_labels(text: str) -> Callable[[Object], bool]:
    """Parse a label selector: a=b, a!=b, a in (b,c), a notin (b,c), a, !a."""
    tests = [_parse_requirement(part.strip()) for part in _split(text)]

    def fits(obj: Object) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(test(labels) for test in tests)

    return fits


def _split(text: str) -> list[str]:
    """Split at the commas outside of parentheses."""
    return [part for part in re.split(r",(?![^()]*\))", text) if part.strip()]


def _parse_requirement(text: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.fullmatch(text):
        key, way, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if way == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, way, value = found.groups()
        if way == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        absent, key = found.groups()
        return lambda labels: (key in labels) is not bool(absent)
    raise bad_request(f"unable to parse requirement: found '{text}', expected: identifier")


def parse_fields(key: Key, text: str) -> Callable[[Object], bool]:
    """Parse a field selector: a.b=c and a.b!=c, of fields the kind can be selected by."""
    tests = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.fullmatch(part.strip())
        if found is None:
            raise bad_request(f"invalid field selector: {part!r}; can't understand it")
        field, way, value = found.groups()
        if field not in ("metadata.name", "metadata.namespace", *FIELDS.get(key, ())):
            raise bad_request(f"field label not supported: {field}")
        tests.append((field.split("."), value, way != "!="))
    return lambda obj: all((_text(obj, path) == value) is equal for path, value, equal in tests)


def _text(obj: Object, path: list[str]) -> str:
    """Return a field as selectors compare it: a missing one is empty, a missing boolean too is false."""
    value = obj
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    if path[-1] == "unschedulable":
        return str(bool(value)).lower()
    return "" if value is None else str(value)

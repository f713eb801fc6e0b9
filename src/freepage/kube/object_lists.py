"""The objects of the API in a document: alone, in a List of any kind, in Lists within Lists, in the events of a watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from freepage.kube.resources import Object

MOST_LEVELS = 50
TYPES: dict[type, str] = {
    bool: "true or false",
    dict: "a mapping",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a string",
}
_LIST = "List"
# Events of a watch that leave no object behind.
_NO_OBJECT = ("DELETED", "BOOKMARK")


@dataclass(frozen=True)
class NoObject:
    """A value that stands where an object should, and is none: `why` says what it is."""

    why: str


def list_objects(document: Any) -> Iterator[Object | NoObject]:
    """Yield every object of a document, each with a `kind` that is a word; NoObject for each value that is none.

    A List has `items`, which may be null; those of a list of one kind (as the API's own VirtualMachineList) may lack kind
    and version, which the list tells. A list without more is one too, as jq -s makes it.
    """
    ahead: list[tuple[Any, int]] = [(document, 0)]
    while ahead:
        value, level = ahead.pop()
        items = _find_items(value)
        if items is None:
            why = _find_fault(value)
            yield value if why is None else NoObject(why)
        elif level == MOST_LEVELS:
            yield NoObject(f"lists within lists, more than {MOST_LEVELS} deep")
        else:
            ahead += [(item, level + 1) for item in reversed(items)]


def _find_items(value: Any) -> list[Any] | None:
    """Return what a list holds; None for what is no list."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return None
    kind, items = value.get("kind", _LIST), value.get("items")
    is_list = value.get("kind") == _LIST or (
        "items" in value and isinstance(kind, str) and kind.endswith(_LIST)
    )
    if is_list and (items is None or isinstance(items, list)):
        return [_complete(item, value, kind.removesuffix(_LIST)) for item in items or ()]
    if "kind" not in value and isinstance(value.get("object"), dict):
        return [] if value.get("type") in _NO_OBJECT else [value["object"]]
    return None


def _complete(item: Any, above: Object, kind: str) -> Any:
    """Add the kind and version that a list of one kind tells of its items."""
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": above.get("apiVersion"), "kind": kind, **item}


def _find_fault(value: Any) -> str | None:
    """Return why a value is no object; None where it is one."""
    if not isinstance(value, dict):
        return f"{describe_type(value)}, and no object"
    kind = value.get("kind")
    if kind == "Status" and value.get("status") == "Failure":
        return f"the API's answer that it failed: {value.get('message') or 'no reason given'}"
    if not isinstance(kind, str) or not kind:
        return (
            "an object without a kind" if kind is None else f"an object whose kind is {describe_type(kind)}"
        )
    return None


def describe_type(value: Any) -> str:
    """Return what sort of JSON value something is: "a number"."""
    if value is None or value == "":
        return "null" if value is None else "empty"
    return str(value).lower() if isinstance(value, bool) else TYPES[type(value)]

"""Objects as they are stored, and as a version of the API shows and takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.hyperconverged import HYPERCONVERGEDS, from_v1, to_v1
from lab.schemas import check
from lab.statuses import bad_request, invalid

if TYPE_CHECKING:
    from lab.call import Call
    from lab.schemas import Schema, Schemas
    from lab.seams import Object


class Conversion:
    """Convert between the two, checking what comes in by the schemas."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def show(self, call: Call, obj: Object) -> Object:
        """Return a stored object in the version that was asked for; it is not to be changed."""
        if _is_converted(call):
            return check(self._schema(call), to_v1(obj)).object
        if obj.get("kind"):
            return obj
        return {"kind": call.kind.kind, "apiVersion": call.api_version, **obj}

    def take(self, call: Call, body: Object, before: Object | None = None) -> Object:
        """Check an object against its kind and schema, and return it as it is to be stored."""
        _refuse_misfit(call, body)
        schema = self._schema(call)
        checked = check(schema, {**body, "apiVersion": call.api_version, "kind": call.kind.kind})
        if checked.unknown and call.request.query.get("fieldValidation") == "Strict":
            raise bad_request(_describe_unknown(call, checked.unknown))
        obj = checked.object
        mistyped = [c.message for c in checked.causes if c.reason == "FieldValueTypeInvalid"]
        if mistyped and not call.kind.custom:
            raise bad_request(_describe_unhandled(call, f"json: cannot unmarshal: {mistyped[0]}"))
        if checked.causes:
            raise invalid(call.kind.group, call.kind.kind, obj["metadata"].get("name", ""), checked.causes)
        if call.kind.namespaced:
            obj["metadata"]["namespace"] = call.namespace
        return from_v1(obj, before) if _is_converted(call) else obj

    def _schema(self, call: Call) -> Schema:
        kind = call.kind
        return self._schemas.find(kind.plural, kind.kind, call.version, custom=kind.custom)


def _is_converted(call: Call) -> bool:
    return call.key == HYPERCONVERGEDS and call.version == "v1"


def _refuse_misfit(call: Call, body: Object) -> None:
    """Refuse a body that is of another kind or namespace than the URL says."""
    for key, words, wanted in (
        ("apiVersion", "API version", call.api_version),
        ("kind", "kind", call.kind.kind),
    ):
        if body.get(key, wanted) != wanted:
            raise bad_request(
                f"the {words} in the data ({body[key]}) does not match the expected {words} ({wanted})"
            )
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request(
            _describe_unhandled(call, "json: cannot unmarshal: metadata must be of type object")
        )
    namespace = metadata.get("namespace", call.namespace)
    if call.kind.namespaced and namespace != call.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _describe_unknown(call: Call, unknown: list[str]) -> str:
    listed = ", ".join(f'unknown field "{path}"' for path in unknown)
    words = f"strict decoding error: {listed}"
    return words if call.kind.custom else _describe_unhandled(call, words)


def _describe_unhandled(call: Call, words: str) -> str:
    return f'{call.kind.kind} in version "{call.version}" cannot be handled as a {call.kind.kind}: {words}'

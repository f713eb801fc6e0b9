"""Validation as the API server does it: unknown fields, types, required fields, defaults.

The schemas of KubeVirt and HCO are those projects' own (a folder beside the checkout); Kubernetes' own kinds are in
core.yaml. Rules in CEL are not evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lab.statuses import Cause
from lab.store import copied

Schema = dict[str, Any]

BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared/schemas"
_ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_SCALARS: dict[str, Schema] = {
    "any": _ANY,
    "string": {"type": "string"},
    "base64": {"type": "string", "format": "byte"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "quantity": {
        "x-kubernetes-int-or-string": True,
        "pattern": r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$",
    },
}
# What the API server takes care of itself, whatever a schema says.
_ENVELOPE = ("apiVersion", "kind", "metadata")


@dataclass
class Checked:
    """A checked object: without unknown fields and with defaults; what was unknown, and what is wrong."""

    object: Any
    unknown: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)


class Schemas:
    """Find schemas; those of custom kinds come from `folder`, and where it is not there their objects pass unchecked."""

    def __init__(self, folder: Path, hyperconverged: str = "hco-v1.18.1-hco00.crd.yaml") -> None:
        self.folder = folder
        self.there = (folder / hyperconverged).is_file()
        self._hyperconverged = hyperconverged

    def definition(self, plural: str) -> Schema:
        """Return a custom kind's CustomResourceDefinition, as its project ships or generates it."""
        if plural == "hyperconvergeds":
            return load_yaml(self.folder / self._hyperconverged)
        if plural == "kubevirts":
            return load_yaml(self.folder / "kubevirt-v1.9.0-kv-resource.yaml")
        stem = f"kubevirt-v1.9.0-crdvalidation-{plural.removesuffix('s')}.yaml"
        return {"spec": {"versions": [{"name": "v1", "schema": load_yaml(self.folder / stem)}]}}

    def find(self, plural: str, kind: str, version: str, *, custom: bool) -> Schema:
        if not custom:
            return core_schema(kind)
        if not self.there:
            return _ANY
        versions = self.definition(plural)["spec"]["versions"]
        return next(v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == version)


@cache
def load_yaml(path: Path) -> Any:
    return yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def core_schema(kind: str) -> Schema:
    """Return the schema of one of Kubernetes' own types."""
    return _expand(load_yaml(Path(__file__).with_name("core.yaml"))[kind])


def _expand(fields: dict[str, Any]) -> Schema:
    """Write core.yaml's short form out as an OpenAPI schema."""
    return {
        "type": "object",
        "required": [name.rstrip("!") for name in fields if name.endswith("!")],
        "properties": {name.rstrip("!"): _expand_type(kind) for name, kind in fields.items()},
    }


def _expand_type(kind: Any) -> Schema:
    if isinstance(kind, dict):
        return _expand(kind)
    if kind.startswith("["):
        return {"type": "array", "items": _expand_type(kind[1:-1])}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _expand_type(kind[1:-1])}
    if "|" in kind:
        return {"type": "string", "enum": kind.split("|")}
    return _SCALARS.get(kind) or core_schema(kind)


def check(schema: Schema, obj: dict[str, Any]) -> Checked:
    """Check an object and its metadata against a schema."""
    checked = Checked(obj)
    body = {key: value for key, value in obj.items() if key not in _ENVELOPE}
    inner = dict(schema, properties=_without(schema.get("properties"), _ENVELOPE))
    result = _Walk(checked).visit(inner, body, "")
    metadata = _Walk(checked).visit(core_schema("ObjectMeta"), obj.get("metadata") or {}, "metadata")
    checked.object = {key: obj[key] for key in ("apiVersion", "kind") if key in obj}
    checked.object |= {"metadata": metadata, **result}
    return checked


def _without(properties: Any, names: tuple[str, ...]) -> Schema:
    return {key: value for key, value in (properties or {}).items() if key not in names}


class _Walk:
    """One pass over a tree, schema in hand."""

    def __init__(self, checked: Checked) -> None:
        self.checked = checked

    def visit(self, schema: Schema, value: Any, path: str) -> Any:
        """Check a value and return it pruned and with its defaults."""
        if value is None and (schema.get("nullable") or "type" not in schema):
            return None
        if not self._is_of_type(schema, value, path):
            return value
        self._check_limits(schema, value, path)
        if isinstance(value, dict) and ("properties" in schema or schema.get("type") == "object"):
            return self._visit_object(schema, value, path)
        if isinstance(value, list) and "items" in schema:
            return [self.visit(schema["items"], item, f"{path}[{n}]") for n, item in enumerate(value)]
        return copied(value)

    def _visit_object(self, schema: Schema, value: dict[str, Any], path: str) -> dict[str, Any]:
        properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
        result: dict[str, Any] = {}
        for key, inner in value.items():
            where = f"{path}.{key}" if path else key
            if key in properties:
                # A null is as good as nothing where a field has a default, or in metadata.
                if inner is not None or not _is_nothing(properties[key], path):
                    result[key] = self.visit(properties[key], inner, where)
            elif rest:
                result[key] = self.visit(rest if isinstance(rest, dict) else _ANY, inner, where)
            elif schema.get("x-kubernetes-preserve-unknown-fields"):
                result[key] = copied(inner)
            else:
                self.checked.unknown.append(where)
        for key, inner in properties.items():
            if key not in result and "default" in inner:
                result[key] = self.visit(inner, copied(inner["default"]), f"{path}.{key}" if path else key)
        for key in schema.get("required") or ():
            if key not in result and key not in _ENVELOPE:
                self._blame("FieldValueRequired", f"{path}.{key}" if path else key, "Required value")
        return result

    def _is_of_type(self, schema: Schema, value: Any, path: str) -> bool:
        if schema.get("x-kubernetes-int-or-string"):
            wanted, fits = "string or integer", isinstance(value, (int, str)) and not isinstance(value, bool)
        else:
            wanted = schema.get("type", "")
            fits = not wanted or type_name(value) in {wanted, "integer" if wanted == "number" else wanted}
        if not fits:
            name = type_name(value)
            words = f'Invalid value: "{name}": {path} in body must be of type {wanted}: "{name}"'
            self._blame("FieldValueTypeInvalid", path, words)
        return fits

    def _check_limits(self, schema: Schema, value: Any, path: str) -> None:
        if "enum" in schema and value not in schema["enum"]:
            listed = ", ".join(f'"{known}"' for known in schema["enum"])
            words = f"Unsupported value: {_quoted(value)}: supported values: {listed}"
            self._blame("FieldValueNotSupported", path, words)
        for name, limit, fits in _limits(schema, value):
            if not fits:
                words = f"Invalid value: {_quoted(value)}: {path} in body should {name} {limit}"
                self._blame("FieldValueInvalid", path, words)

    def _blame(self, reason: str, path: str, message: str) -> None:
        self.checked.causes.append(Cause(reason, path, message))


def _is_nothing(schema: Schema, path: str) -> bool:
    return not schema.get("nullable") and ("default" in schema or path.startswith("metadata"))


def _limits(schema: Schema, value: Any) -> list[tuple[str, Any, bool]]:
    """Return each limit that applies to a value: its words, the limit, whether it is kept."""
    found: list[tuple[str, Any, bool]] = []
    if isinstance(value, str) and "pattern" in schema:
        found.append(("match", f"'{schema['pattern']}'", re.search(schema["pattern"], value) is not None))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema:
            found.append(("be greater than or equal to", schema["minimum"], value >= schema["minimum"]))
        if "maximum" in schema:
            found.append(("be less than or equal to", schema["maximum"], value <= schema["maximum"]))
        if schema.get("format") == "int32":
            found.append(("fit into", "int32", -(2**31) <= value < 2**31))
    if isinstance(value, (str, list)):
        unit = "chars long" if isinstance(value, str) else "items"
        low, high = ("minLength", "maxLength") if isinstance(value, str) else ("minItems", "maxItems")
        if low in schema:
            found.append(("be at least", f"{schema[low]} {unit}", len(value) >= schema[low]))
        if high in schema:
            found.append(("be at most", f"{schema[high]} {unit}", len(value) <= schema[high]))
    return found


def type_name(value: Any) -> str:
    """Return JSON's name of a value's type."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return names[type(value)]


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)

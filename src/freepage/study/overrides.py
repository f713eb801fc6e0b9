"""Single keys of a study changed on the command line: --set key=value, --set experiment.key=value."""

from __future__ import annotations

import tomllib
from typing import Any

from freepage.errors import StudyError

_TABLES = ("fit", "verdict")


def apply_override(content: dict[str, Any], override: str) -> None:
    """Change one key of a study's content in place; StudyError for text without '=' and for an unknown table."""
    path, equals, value = override.partition("=")
    if not equals:
        raise StudyError(
            f"--set {override} has no '='", hint="write --set key=value, such as --set cycle.hold=30s"
        )
    table: dict[str, Any] = content
    *parents, key = path.strip().split(".")
    for name in parents:
        table = _find_table(table, name, override)
    table[key] = _read_value(value.strip())


def _find_table(content: dict[str, Any], name: str, override: str) -> dict[str, Any]:
    inner = content.get("experiment") or content.get("group") or []
    experiments = {e.get("name") or e.get("kind", ""): e for e in inner}
    if name in experiments:
        return _check_table(experiments[name])
    if name in _TABLES:
        return _check_table(content.setdefault(name, {}))
    known = [*experiments, *_TABLES]
    raise StudyError(f"--set {override}: there is no {name!r}", hint=f"there are: {', '.join(known)}")


def _check_table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StudyError(f"{value!r} is not a table")
    return value


def _read_value(text: str) -> object:
    """Return a value of TOML; text that is none stands for itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text

"""Prints objects of a cluster as YAML, with comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from freepage.report.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


def print_manifests(objects: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Print objects with their purpose, without their binaries, whose size is named instead."""
    import yaml

    for words, obj in objects:
        shown, left_out = _leave_out_binaries(obj)
        print("---")
        print_comments([f"{words}{left_out}"])
        print(yaml.safe_dump(shown, sort_keys=False, width=120), end="")


def print_comments(lines: Iterable[str]) -> None:
    """Print lines as comments of YAML, whatever line breaks there are within them."""
    for line in (part for text in lines for part in text.splitlines()):
        print(f"# {printable(line)}".rstrip())


def _leave_out_binaries(obj: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Empty what is not to be read, so that a server can still check it, and describe how much that was."""
    shown, size = dict(obj), 0
    for key in ("binaryData", "data"):
        if obj.get("kind") in {"ConfigMap", "Secret"} and key in obj:
            shown[key] = dict.fromkeys(obj[key], "")
            size += sum(map(len, obj[key].values()))
    return shown, f" ({size} bytes of base64 are left out here)" if size else ""

"""The name of an image in a registry: registry/name:tag."""

from __future__ import annotations

import re
from dataclasses import dataclass

from freepage.errors import StudyError

EXAMPLE = "quay.io/me/freepage:1"
# As registries define them.
_REGISTRY = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|(?=.*:\d)[\w-]+|\[[\da-f:]+\])(:\d+)?", re.ASCII)
_PART = r"[a-z\d]+((\.|__?|-+)[a-z\d]+)*"
_NAME = re.compile(f"{_PART}(/{_PART})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """The name of an image in a registry; `repository` is registry/name."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"

    def pin(self, digest: str) -> str:
        """Return the name that always means the image of this digest."""
        return f"{self.repository}@{digest}"


def parse_reference(text: str) -> Reference:
    """Return the reference in REGISTRY/NAME:TAG, with docker:// before it or not; StudyError says which part is wrong."""
    registry, slash, rest = text.removeprefix("docker://").partition("/")
    name, colon, tag = rest.partition(":")
    if not slash or not _REGISTRY.fullmatch(registry):
        raise _refuse(text, "names no registry")
    if "@" in rest:
        raise _refuse(text, "names a digest, which a registry gives by itself")
    if name != name.lower():
        raise _refuse(text, f"has upper case in its name; {registry}/{name.lower()} would do")
    if not _NAME.fullmatch(name):
        raise _refuse(text, f"has {name!r} for a name")
    if not colon or not _TAG.fullmatch(tag):
        raise _refuse(text, f"has {tag!r} for a tag" if tag else "has no tag")
    return Reference(f"{registry}/{name}", tag)


def _refuse(text: str, reason: str) -> StudyError:
    return StudyError(f"the image {text!r} {reason}", hint=f"REGISTRY/NAME:TAG, as {EXAMPLE}")

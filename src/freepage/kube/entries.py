"""Entries of a kubeconfig and their fields, typed as kubectl types them: null and "" are as absent."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.errors import LoginError
from freepage.kube.login_files import Pem, read_pem

if TYPE_CHECKING:
    from freepage.kube.resources import Object

T = TypeVar("T")

# A null byte ends a path or an argument, and half a pair of UTF-16 cannot be written down.
NO_TEXT = re.compile("[\0\ud800-\udfff]")
KINDS: dict[type, str] = {str: "a text", bool: "true or false", list: "a list", dict: "a mapping"}


@dataclass(frozen=True)
class ConfigEntry:
    """A mapping of a kubeconfig or within one, the file it stands in, and its name in errors ('user "ann" in FILE')."""

    value: Object = field(repr=False)
    file: Path
    name: str

    def text(self, key: str) -> str | None:
        return self._check_text(self._find(key, str), key)

    def flag(self, key: str) -> bool:
        return bool(self._find(key, bool))

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; a null in it is an empty one."""
        items = [self._check(item, str, key) or "" for item in self._find(key, list) or []]
        return [self._check_text(item, key) or "" for item in items]

    def names(self) -> list[str]:
        """Return the names of the fields, where they are not known before."""
        return [self._check_text(self._check(key, str, "a name"), "a name") or "" for key in self.value]

    def part(self, key: str) -> ConfigEntry | None:
        """Return a mapping within; None where it is absent, not where it is empty."""
        found = self._find(key, dict)
        return None if found is None else ConfigEntry(found, self.file, f"{key} of {self.name}")

    def parts(self, key: str) -> list[ConfigEntry]:
        """Return the mappings of a list within."""
        items = [self._check(item, dict, key) or {} for item in self._find(key, list) or []]
        return [ConfigEntry(item, self.file, f"{key} of {self.name}") for item in items]

    def find_path(self, text: str) -> Path:
        """Return a path as this entry means it, absolute and without "..": relative ones start at the folder of its file."""
        return Path(os.path.normpath(self.file.absolute().parent / text))

    def read_pem(self, key: str) -> Pem | None:
        """Read KEY-data (base64) or the file that KEY names; None where neither is given."""
        data, path = self.text(f"{key}-data"), self.text(key)
        if data and path:
            raise LoginError(
                f"{self.name} has both {key} and {key}-data",
                hint="take one of them out: kubectl refuses that as well",
            )
        if data:
            return Pem(self._decode(data, key), f"{key}-data of {self.name}")
        return read_pem(self.find_path(path), key) if path else None

    def _decode(self, data: str, key: str) -> bytes:
        try:
            # Go's decoder skips ends of lines, and nothing else.
            return base64.b64decode(data.replace("\r", "").replace("\n", ""), validate=True)
        except ValueError as error:
            raise LoginError(
                f"{key}-data of {self.name} is no base64", hint="ends of lines may wrap it, spaces may not"
            ) from error

    def _find(self, key: str, kind: type[T]) -> T | None:
        return self._check(self.value.get(key), kind, key)

    def _check(self, found: object, kind: type[T], key: str) -> T | None:
        if found is None or isinstance(found, kind):
            return found
        quotes = ": put it in quotes" if kind is str and isinstance(found, bool | int | float) else ""
        raise LoginError(f"{key} of {self.name} is not {KINDS[kind]}{quotes}")

    def _check_text(self, text: str | None, key: str) -> str | None:
        if text and NO_TEXT.search(text):
            raise LoginError(f"{key} of {self.name} has characters that no text has")
        return text or None

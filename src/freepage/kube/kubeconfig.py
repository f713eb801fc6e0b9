"""Kubeconfig files: merged as kubectl does, each entry with the folder its relative paths start from."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freepage.kube.errors import LoginError
from freepage.kube.login_files import read_file
from freepage.kube.resources import Object, dig

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ConfigEntry:
    """A context, cluster or user of a kubeconfig, and the file it stands in."""

    value: Object = field(repr=False)
    file: Path

    def find_path(self, text: str) -> Path:
        """Return a path as this entry means it: relative ones start at its file."""
        return self.file.parent / Path(text).expanduser()

    def read_data(self, key: str) -> bytes | None:
        """Read KEY-data (base64) or the file that KEY names; None where neither is given."""
        if data := self.value.get(f"{key}-data"):
            return _decode(data, key, self.file)
        return read_file(self.find_path(path), key) if (path := self.value.get(key)) else None


@dataclass(frozen=True)
class Kubeconfig:
    """Some kubeconfig files merged; the first to name something wins."""

    files: tuple[Path, ...]
    contexts: dict[str, ConfigEntry]
    clusters: dict[str, ConfigEntry]
    users: dict[str, ConfigEntry]
    current: str | None

    def find_context(self, name: str | None) -> tuple[str, ConfigEntry] | None:
        """Return the context of a name, else the current one; None where the files have no current one."""
        if name := name or self.current:
            return name, self._find("context", self.contexts, name)
        return None

    def find_cluster(self, context: ConfigEntry) -> ConfigEntry:
        return self._find("cluster", self.clusters, str(context.value.get("cluster")))

    def find_user(self, context: ConfigEntry) -> ConfigEntry:
        """Return a context's user; an empty one where it names none."""
        if name := context.value.get("user"):
            return self._find("user", self.users, str(name))
        return ConfigEntry({}, context.file)

    def _find(self, what: str, entries: dict[str, ConfigEntry], name: str) -> ConfigEntry:
        if name in entries:
            return entries[name]
        files = ", ".join(map(str, self.files))
        raise LoginError(
            f'no {what} "{name}" in {files}', hint=f"it has {', '.join(sorted(entries)) or 'none at all'}"
        )


def read_kubeconfig(files: Sequence[Path]) -> Kubeconfig:
    """Read and merge kubeconfig files, all of which exist; LoginError for one that is none."""
    merged = Kubeconfig(tuple(files), {}, {}, {}, None)
    current = None
    for file in files:
        content = _load(file)
        current = current or content.get("current-context")
        for what, entries in (
            ("context", merged.contexts),
            ("cluster", merged.clusters),
            ("user", merged.users),
        ):
            for item in content.get(f"{what}s") or []:
                entries.setdefault(str(dig(item, "name")), ConfigEntry(dig(item, what) or {}, file))
    return Kubeconfig(merged.files, merged.contexts, merged.clusters, merged.users, current)


def _load(file: Path) -> Object:
    import yaml

    try:
        content = yaml.safe_load(read_file(file, "kubeconfig"))
    except yaml.YAMLError as error:
        # The parser's own words quote the file, which holds secrets.
        line = dig(vars(error), "problem_mark")
        raise LoginError(
            f"kubeconfig {file} is no YAML" + (f" (line {line.line + 1})" if line else "")
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise LoginError(f"kubeconfig {file} is no kubeconfig")
    return content


def _decode(data: Any, key: str, file: Path) -> bytes:
    try:
        return base64.b64decode(str(data), validate=True)
    except binascii.Error as error:
        raise LoginError(f"{key}-data in {file} is no base64") from error

"""Kubeconfig files: merged as kubectl does, each entry with the folder its relative paths start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.kube.entries import ConfigEntry
from freepage.kube.errors import LoginError
from freepage.kube.login_files import read_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Kubeconfig:
    """Some kubeconfig files merged; the first to name something wins, as a whole."""

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
        if name := context.text("cluster"):
            return self._find("cluster", self.clusters, name)
        raise LoginError(f"{context.name} names no cluster")

    def find_user(self, context: ConfigEntry) -> ConfigEntry:
        """Return a context's user; an empty one where it names none."""
        if name := context.text("user"):
            return self._find("user", self.users, name)
        return ConfigEntry({}, context.file, f"the user of {context.name}")

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
        current = current or content.text("current-context")
        for what, entries in (
            ("context", merged.contexts),
            ("cluster", merged.clusters),
            ("user", merged.users),
        ):
            for name, entry in _read_entries(content, what).items():
                entries.setdefault(name, entry)
    return Kubeconfig(merged.files, merged.contexts, merged.clusters, merged.users, current)


def _read_entries(content: ConfigEntry, what: str) -> dict[str, ConfigEntry]:
    entries: dict[str, ConfigEntry] = {}
    for item in content.parts(f"{what}s"):
        name = item.text("name") or ""
        if name in entries:
            raise LoginError(f'{content.name} has the {what} "{name}" twice', hint="take one of them out")
        entry = item.part(what)
        value = {} if entry is None else entry.value
        entries[name] = ConfigEntry(value, content.file, f'{what} "{name}" in {content.file}')
    return entries


def _load(file: Path) -> ConfigEntry:
    from freepage.kube.documents import parse_document

    try:
        content = parse_document(read_file(file, "kubeconfig"))
    except ValueError as error:
        raise LoginError(f"kubeconfig {file} {error}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise LoginError(f"kubeconfig {file} is no kubeconfig")
    entry = ConfigEntry(content, file, f"kubeconfig {file}")
    kind, version = entry.text("kind") or "Config", entry.text("apiVersion") or "v1"
    if (kind, version) != ("Config", "v1"):
        raise LoginError(f"kubeconfig {file} is no kubeconfig: it is of kind {kind} in {version}")
    return entry

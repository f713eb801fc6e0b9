"""Files of the API's objects, as kubectl, oc and must-gather write them: single files, whole folders, standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.errors import FreepageError
from freepage.kube.encoding import EncodingError, decode_text
from freepage.kube.object_documents import DocumentError, parse_documents
from freepage.kube.object_lists import NoObject, list_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from freepage.kube.resources import Object

STANDARD_INPUT = "-"
# The objects of about 15,000 VMs as kubectl prints them, which take some GB of memory once they are read.
MOST_BYTES = 256 * 2**20
SUFFIXES = (".json", ".yaml", ".yml")


class ObjectsError(FreepageError):
    """A file holds no objects, or cannot be read."""

    exit_status = 2


@dataclass(frozen=True)
class Skipped:
    """One file, object or other value that was not read, and why."""

    what: str
    why: str


@dataclass
class ReadObjects:
    """The objects of some files in their order, what of them was not read, and how many there were of other kinds."""

    objects: list[Object] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    other_kinds: Counter[str] = field(default_factory=Counter)


def read_object_files(names: Iterable[str], is_wanted: Callable[[Object], bool], *, hint: str) -> ReadObjects:
    """Read the wanted objects of files, of all JSON and YAML files below folders, and of standard input ("-").

    ObjectsError, with the hint how to write one, for a file that is named and holds no objects; one that was only found
    in a folder is skipped.
    """
    found = ReadObjects()
    for name in names:
        try:
            if name != STANDARD_INPUT and Path(name).is_dir():
                _read_folder(found, name, is_wanted)
            else:
                _read_into(found, name, is_wanted)
        except ObjectsError as error:
            error.hint = hint
            raise
    return found


def _read_folder(found: ReadObjects, folder: str, is_wanted: Callable[[Object], bool]) -> None:
    """Add the objects of every file below a folder whose name says what it holds; links to folders are not followed."""

    def skip(error: OSError) -> None:
        found.skipped.append(Skipped(str(error.filename), f"cannot be read: {error.strerror}"))

    walked = [Path(top) / name for top, _, names in os.walk(folder, onerror=skip) for name in names]
    files = sorted(path for path in walked if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ObjectsError(f"{folder} has no {', '.join('*' + suffix for suffix in SUFFIXES)} below it")
    for path in map(str, files):
        try:
            _read_into(found, path, is_wanted)
        except ObjectsError as error:
            found.skipped.append(Skipped(path, error.message.removeprefix(f"{path} ")))


def _read_into(found: ReadObjects, name: str, is_wanted: Callable[[Object], bool]) -> None:
    """Add the objects of one file, all or none; ObjectsError where it has none, and is no empty list."""
    objects, faults, others = [], [], Counter[str]()
    shown = "standard input" if name == STANDARD_INPUT else name
    for each in _read_objects(name, shown):
        if isinstance(each, NoObject):
            faults.append(Skipped(shown, each.why))
        elif is_wanted(each):
            objects.append(each)
        else:
            others[each["kind"]] += 1
    if faults and not objects and not others:
        raise ObjectsError(f"{shown} holds no Kubernetes objects: it is {faults[0].why}")
    found.objects += objects
    found.skipped += faults
    found.other_kinds += others


def _read_objects(name: str, shown: str) -> Iterator[Object | NoObject]:
    try:
        text = decode_text(_read_bytes(name, shown))
        if not text.strip():
            raise ObjectsError(f"{shown} is empty")
        for document in parse_documents(text):
            # YAML that begins or ends with --- has documents of nothing.
            if document is not None:
                yield from list_objects(document)
    except (EncodingError, DocumentError) as error:
        raise ObjectsError(f"{shown} is {error}") from error


def _read_bytes(name: str, shown: str) -> bytes:
    try:
        if name == STANDARD_INPUT:
            data = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ObjectsError(f"{shown} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ObjectsError(
            f"{shown} is larger than {MOST_BYTES >> 20} MiB: take the objects of some namespaces at a time "
            "(kubectl get vm,vmi -n NAME), in one file each"
        )
    return data

"""Texts that commands write: to a file, whose name is printed, or to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.errors import RunFolderError

if TYPE_CHECKING:
    from pathlib import Path


def give_text(text: str, out: Path | None) -> None:
    """Write a text to a file and print the file's name, or print the text where there is none; RunFolderError as write_text."""
    if out is None:
        print(text, end="")
        return
    write_text(out, text)
    print(out)


def write_text(path: Path, text: str) -> None:
    """Write a file; RunFolderError where that is not possible."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}") from error

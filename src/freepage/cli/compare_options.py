"""The options that `compare` and `gate` share, and files of what they found."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from freepage.errors import RunFolderError
from freepage.units import parse_share

if TYPE_CHECKING:
    from pathlib import Path


def add_across_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--across",
        metavar="NAME,...",
        default="",
        help="conditions that may differ, such as guest-kernel, or all; the answer names them",
    )


def parse_percent(text: str) -> float:
    """Read "5%" or "5" as a share; argparse's own error for text that is none."""
    try:
        value = parse_share(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and below 100%")
    return value


def write_text(path: Path, text: str) -> None:
    """Write a file; RunFolderError where that is not possible."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror}") from error

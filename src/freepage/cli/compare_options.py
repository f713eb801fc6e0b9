"""The options that `compare` and `gate` share."""

from __future__ import annotations

import argparse

from freepage.units import parse_share


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

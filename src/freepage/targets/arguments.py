"""Reads values of the command line's options; ArgumentTypeError describes what is wrong with one."""

from __future__ import annotations

import argparse

from freepage.units import parse_duration, parse_size


def parse_names(text: str) -> tuple[str, ...]:
    """Read different names, separated by commas."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names")
    return names


def parse_count(text: str) -> int:
    """Read a count from 1 to 1000."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count from 1 to 1000")
    return int(text)


def parse_bytes(text: str) -> int:
    """Read a size such as 8GiB in bytes."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_seconds(text: str) -> float:
    """Read a duration such as 45min in seconds; it is longer than none."""
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no time")
    return value

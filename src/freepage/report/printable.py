"""Words of others, made safe to print: what a guest, an object, a server or a stored run says is text and nothing else."""

from __future__ import annotations

import unicodedata

# Longer than any name, version or message that somebody would read in one line.
LONGEST = 1000
_INDENT = "    "


def printable(text: str) -> str:
    r"""Return text as one line: whatever is no visible character or space is written as its escape, such as \x1b or \n.

    Among these are terminal escapes (C0, DEL, C1), line breaks of every kind, marks that reorder text (bidi), invisible
    characters, and halves of surrogate pairs, which no output can encode.
    """
    return text if text.isprintable() else "".join(map(_show, text))


def _show(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """Return text that may have several lines, each printable; all but the first stand further in, so that none passes for ours."""
    first, *others = text.split("\n")
    return "\n".join(
        [printable(first), *(_INDENT + printable(line.removeprefix(_INDENT)) for line in others)]
    )


def shorten(text: str, most: int = LONGEST) -> str:
    """Return text with what is beyond `most` characters counted instead of shown."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"

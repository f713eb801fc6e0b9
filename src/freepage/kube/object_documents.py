"""A text of objects -> its documents, one by one: JSON, JSON after JSON, a line each, or YAML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from freepage.kube.yaml_documents import YamlError, read_documents

if TYPE_CHECKING:
    from collections.abc import Iterator

# Between JSON documents: space, the mark of JSON text sequences (RFC 7464), and YAML's lines between documents.
_BETWEEN = re.compile(r"(?:\s|\x1e|---(?=\s|$)|\.\.\.(?=\s|$))*")


class DocumentError(ValueError):
    """A text is neither JSON nor YAML; the message says so as what follows "FILE is", with the place."""


def parse_documents(text: str) -> Iterator[Any]:
    """Yield the documents of a text; DocumentError, also after some, where it is none or goes on as none."""
    start = _BETWEEN.match(text)
    assert start is not None  # noqa: S101 - it matches nothing as well
    if text[start.end() : start.end() + 1] in {"{", "["}:
        yield from _parse_json(text, start.end())
        return
    try:
        yield from read_documents(text)
    except YamlError as error:
        raise DocumentError(f"neither JSON nor YAML: {error}") from error


def _parse_json(text: str, at: int) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_int=_parse_integer, parse_constant=_refuse_constant)
    while at < len(text):
        try:
            document, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise DocumentError(f"not JSON: {place}: {error.msg}") from error
        except RecursionError as error:
            raise DocumentError("nested too deeply to be objects") from error
        yield document
        between = _BETWEEN.match(text, end)
        at = between.end() if between else end


def _parse_integer(digits: str) -> int | float:
    """Return a number that Python would refuse for its length as a float: there is no such number in an object."""
    return int(digits) if len(digits) < 1000 else float(digits)


def _refuse_constant(word: str) -> NoReturn:
    raise json.JSONDecodeError(f"{word} is no number", word, 0)

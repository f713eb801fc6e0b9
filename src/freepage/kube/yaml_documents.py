"""YAML -> the documents in it, as JSON's types: what kubectl prints by -o yaml, and what people write by hand.

Built from the parser's events: several times as fast as PyYAML's own objects, which keep a node with its place for each
value, and without tags, so that no text can make anything but data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml import AliasEvent, CollectionStartEvent, ScalarEvent, YAMLError

MOST_LEVELS = 200
# How many values aliases may stand for together: real files have a few, and a bomb doubles them with every line.
MOST_ALIASED = 100_000

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,1000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.?[0-9]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MERGE = "<<"


class YamlError(ValueError):
    """A text is not YAML, or more than a text of objects is; the message begins with the place."""


def read_documents(text: str) -> Iterator[Any]:
    """Yield the documents of a YAML stream one by one; YamlError where it is none.

    Words and numbers are read as by YAML 1.1, without its dates; keys are strings, as in JSON; of equal keys the last
    counts; merge keys (<<) are merged.
    """
    # Loaded here, for most commands do without.
    import yaml

    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            match event:
                case yaml.ScalarEvent():
                    builder.add_scalar(event)
                case yaml.MappingStartEvent():
                    builder.open({}, event)
                case yaml.SequenceStartEvent():
                    builder.open([], event)
                case yaml.CollectionEndEvent():
                    builder.close()
                case yaml.AliasEvent():
                    builder.add_alias(event)
                case yaml.DocumentEndEvent():
                    yield builder.document
                    builder = _Builder()
    except yaml.YAMLError as error:
        raise YamlError(_describe(error)) from error


@dataclass(slots=True)
class _Level:
    """A mapping or a sequence that is being read.

    key: of the value that comes next, and whether that is merged. merged: what `<<` puts into it. size: of all that is in it, with what aliases stand for.
    """

    values: dict[str, Any] | list[Any]
    anchor: str | None = None
    key: str | None = None
    is_merge: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)
    size: int = 1


class _Builder:
    """Puts the values that events bring into their document."""

    def __init__(self) -> None:
        self._documents: list[Any] = []
        self._levels = [_Level(self._documents)]
        # What has an anchor, with its size.
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    @property
    def document(self) -> Any:
        return self._documents[0]

    def add_scalar(self, event: ScalarEvent) -> None:
        level = self._levels[-1]
        if level.key is None and isinstance(level.values, dict):
            level.key = event.value
            level.is_merge = event.value == _MERGE and not event.style
            return
        value = _read_scalar(event)
        if event.anchor:
            self._anchors[event.anchor] = value, 1
        self._put(value, 1)

    def open(self, values: dict[str, Any] | list[Any], event: CollectionStartEvent) -> None:
        self._expect_value(event.start_mark)
        if len(self._levels) > MOST_LEVELS:
            raise YamlError(f"{_where(event.start_mark)}: nested deeper than {MOST_LEVELS} levels")
        self._levels.append(_Level(values, event.anchor))

    def close(self) -> None:
        level = self._levels.pop()
        values: Any = level.values
        for each in level.merged:
            values = {**each, **values}
        if level.anchor:
            self._anchors[level.anchor] = values, level.size
        self._put(values, level.size)

    def add_alias(self, event: AliasEvent) -> None:
        """Add what an alias stands for: the value itself, which nobody changes. Nothing can hold itself: it is not closed yet."""
        self._expect_value(event.start_mark)
        if event.anchor not in self._anchors:
            raise YamlError(f"{_where(event.start_mark)}: *{event.anchor} stands for nothing before it")
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > MOST_ALIASED:
            raise YamlError(f"{_where(event.start_mark)}: aliases stand for more than {MOST_ALIASED} values")
        self._put(value, size)

    def _put(self, value: Any, size: int) -> None:
        level = self._levels[-1]
        level.size += size
        if isinstance(level.values, list):
            level.values.append(value)
            return
        assert level.key is not None  # noqa: S101 - a mapping's values follow their keys
        key, level.key = level.key, None
        merged = value if isinstance(value, list) else [value]
        if level.is_merge and all(isinstance(each, dict) for each in merged):
            level.merged += merged
        else:
            level.values[key] = value

    def _expect_value(self, mark: Any) -> None:
        level = self._levels[-1]
        if level.key is None and isinstance(level.values, dict):
            raise YamlError(f"{_where(mark)}: a key that is no word")


def _read_scalar(event: ScalarEvent) -> Any:
    """Read a plain word by its form; what is quoted or has a tag is a string."""
    text = event.value
    if event.style or event.tag:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _where(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _describe(error: YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None:
        return str(error).partition("\n")[0]
    return f"{_where(mark)}: {problem or 'not YAML'}"

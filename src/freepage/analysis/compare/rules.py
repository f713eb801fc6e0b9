"""The rules of a gate, read from TOML: each bounds one number of a run, by itself or against a baseline."""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.analysis.bounds import Bounds
from freepage.analysis.compared import Comparison
from freepage.analysis.estimates import Quantity
from freepage.analysis.paths import EstimatePath
from freepage.errors import FreepageError
from freepage.records import Arm
from freepage.units import parse_duration, parse_share, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

EXAMPLE = """\
# Rules of `freepage gate RUN --baseline RUN --rules FILE`. Each names a number (docs/results-schema.md lists them) of an
# experiment and, unless it compares arms, the arm; and bounds it:
#   at_most_ratio, at_least_ratio     the run / the baseline
#   at_most_change, at_least_change   the run less the baseline, for shares, counts and differences
#   at_most, at_least                 the run by itself
# A whole interval decides: all of it within is passed, all of it beyond is failed, on both sides cannot be told.

[[rule]]
name = "allocating again is no slower"
experiment = "cycle"
number = "reallocation_penalty"
at_most_ratio = 1.10

[[rule]]
name = "memory is back as soon"
experiment = "cycle"
arm = "vm-fpr"
number = "release_t90_s"
at_most_ratio = 1.25

[[rule]]
name = "the node's memory"
experiment = "cycle"
arm = "vm-fpr"
number = "node_in_use_mean_bytes"
at_most_ratio = 1.10

[[rule]]
name = "VMs with FPR give memory back"
experiment = "cycle"
arm = "vm-fpr"
number = "given_back_fraction"
at_least = "80 %"
"""
_KEYS = ("name", "experiment", "arm", "number")
_BOUNDS = ("at_most_ratio", "at_least_ratio", "at_most_change", "at_least_change", "at_most", "at_least")
_HEADER = re.compile(r"\s*\[\[\s*rule\s*\]\]")


class RulesError(FreepageError):
    """The rules of a gate are wrong."""

    exit_status = 6


@dataclass(frozen=True)
class Rule:
    """One rule: the number it bounds, and the bounds of its ratio to the baseline, of its change, and of itself."""

    name: str
    experiment: str
    path: EstimatePath
    line: int
    ratio: Bounds | None
    change: Bounds | None
    absolute: Bounds | None

    @property
    def needs_baseline(self) -> bool:
        return self.ratio is not None or self.change is not None

    def describe(self) -> str:
        """Return the rule in words."""
        unit = self.path.number.unit
        parts = (
            (self.ratio, "ratio", " the baseline's"),
            (self.change, unit, " of change"),
            (self.absolute, unit, ""),
        )
        bounds = " and ".join(f"{b.describe(u)}{of}" for b, u, of in parts if b is not None)
        arm = f"{self.path.arm} " if self.path.arm else ""
        return f"{self.experiment} {arm}{self.path.number}: {bounds}"


@dataclass(frozen=True)
class _Place:
    """Where a rule stands in its file."""

    source: str
    lines: list[str]
    index: int

    def line_of(self, key: str = "") -> int:
        """Return the line, from 1, of a key of the rule; that of its header where it has no such key."""
        headers = [n for n, text in enumerate(self.lines) if _HEADER.match(text)]
        first = headers[self.index] if self.index < len(headers) else 0
        end = headers[self.index + 1] if self.index + 1 < len(headers) else len(self.lines)
        wanted = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=")
        found = (n for n in range(first, end) if key and wanted.match(self.lines[n]))
        return next(found, first) + 1

    def error(self, key: str, words: str, known: Iterable[str] = (), wrong: str = "") -> RulesError:
        return RulesError(
            f"{self.source}, line {self.line_of(key)}: {words}", hint=guess(wrong or key, known)
        )


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read a file of rules; RulesError says what is wrong, and on which line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(
            f"{path} cannot be read: {error}", hint="freepage gate --example prints one"
        ) from error
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str) -> tuple[Rule, ...]:
    """Read the text of a file of rules."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"{source} is not TOML: {error}") from error
    unknown = [key for key in content if key != "rule"]
    rules = content.get("rule")
    if unknown or not isinstance(rules, list) or not rules or not all(isinstance(r, dict) for r in rules):
        wrong = f"unknown key {unknown[0]!r}" if unknown else "it has no [[rule]]"
        raise RulesError(f"{source}: {wrong}", hint="freepage gate --example prints a file of rules")
    lines = text.splitlines()
    return tuple(_parse_rule(rule, _Place(source, lines, n)) for n, rule in enumerate(rules))


def guess(wrong: str, known: Iterable[str]) -> str | None:
    """Return what was probably meant, else what is known; None where nothing is."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else None


def _parse_rule(content: Mapping[str, object], place: _Place) -> Rule:
    for key in content:
        if key not in {*_KEYS, *_BOUNDS}:
            raise place.error(key, f"unknown key {key!r}", (*_KEYS, *_BOUNDS))
    path = _parse_path(content, place)
    bounds = {key: _parse_bound(content[key], key, path, place) for key in _BOUNDS if key in content}
    if not bounds:
        raise place.error("", "the rule has no bound", (), "")
    experiment = _text(content, "experiment", place)
    rule = Rule(
        "",
        experiment,
        path,
        place.line_of(),
        _find_bounds(bounds, "_ratio"),
        _find_bounds(bounds, "_change"),
        _find_bounds(bounds, ""),
    )
    _check_measure(rule, place)
    name = _text(content, "name", place) if "name" in content else rule.describe()
    return Rule(name, experiment, path, rule.line, rule.ratio, rule.change, rule.absolute)


def _parse_path(content: Mapping[str, object], place: _Place) -> EstimatePath:
    """Return the number that a rule bounds."""
    number = _text(content, "number", place)
    if number in set(Comparison):
        if "arm" in content:
            raise place.error("arm", f"{number} compares arms, so a rule about it names none")
        return EstimatePath(Comparison.with_id(number))
    if number not in set(Quantity):
        raise place.error("number", f"there is no number {number!r}", (*Quantity, *Comparison), number)
    if "arm" not in content:
        raise place.error("number", f"{number} is of an arm: arm is missing", Arm)
    arm = _text(content, "arm", place)
    if arm not in set(Arm):
        raise place.error("arm", f"there is no arm {arm!r}", Arm, arm)
    return EstimatePath(Quantity.with_id(number), Arm(arm))


def _text(content: Mapping[str, object], key: str, place: _Place) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value:
        raise place.error(key, f"{key} is missing" if value is None else f"{key} = {value!r} is no text")
    return value


def _parse_bound(value: object, key: str, path: EstimatePath, place: _Place) -> float:
    """Read a bound: a number, a percentage, or a size or duration where the number is one."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:  # noqa: PLR0124 - no NaN
        return float(value)
    takes_share = path.number.unit == "fraction" or key.endswith("_ratio")
    try:
        if isinstance(value, str) and takes_share and value.strip().endswith("%"):
            return parse_share(value)
        if isinstance(value, str) and path.number.unit in {"bytes", "s"} and not key.endswith("_ratio"):
            return float(parse_size(value) if path.number.unit == "bytes" else parse_duration(value))
    except ValueError as error:
        raise place.error(key, f"{key}: {error}") from error
    raise place.error(key, f"{key} = {value!r} is no number of {path.number.unit}")


def _find_bounds(bounds: Mapping[str, float], ending: str) -> Bounds | None:
    most, least = bounds.get(f"at_most{ending}"), bounds.get(f"at_least{ending}")
    return None if most is None and least is None else Bounds(at_least=least, at_most=most)


def _check_measure(rule: Rule, place: _Place) -> None:
    """Refuse a ratio of what may be 0, and a difference of what is compared by its ratio."""
    has_ratio, number = rule.path.number.nature.has_ratio, rule.path.number
    if rule.ratio is not None and not has_ratio:
        raise place.error(
            "", f"{number} may be 0, so it has no ratio: bound it by at_most_change or at_least_change"
        )
    if rule.change is not None and has_ratio:
        raise place.error(
            "", f"{number} is compared by its ratio: bound it by at_most_ratio or at_least_ratio"
        )

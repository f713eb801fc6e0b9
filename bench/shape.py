"""Measure the shape of the source: files, functions, rooms, imports, types and words, beside their goals.

usage: python bench/shape.py [--check]      --check exits with 1 where a goal is missed, and names the places
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules import (
    LAZY,
    LOAD,
    TYPING,
    Function,
    count_floors,
    find_arrows_up,
    find_cycles,
    read_house,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules import Graph, House, Module

SHOWN_FIRST_WORDS = 12
MAX_FUNCTION_LINES = 45
MAX_FILE_LINES = 300
# Docstrings are plain technical English: "Return ...", "Describe ...", "Raise ...".
WRONG_FIRST_WORDS = frozenset({"Give", "Gives", "Say", "Says", "Tell", "Tells", "What", "How"})
# Kinds whose names are ordinary words as well: of pods and bundles, of lists of tools, of orders to touch memory in.
AMBIGUOUS_KINDS = frozenset({"command", "fio", "random"})


@dataclass(frozen=True)
class Goal:
    """The most a measure may be; `today` is what it may still be where the limit is not reached yet."""

    limit: float
    today: float | None = None

    @property
    def bound(self) -> float:
        return self.limit if self.today is None else self.today


# Where `today` is given the goal is not reached yet: lower it with every step, and take it away in the end.
GOALS = {
    "median function, lines": Goal(7),
    "functions over 45 lines": Goal(0),
    "median file, lines": Goal(115),
    "files over 300 lines": Goal(0),
    "names at the top": Goal(23),
    "arrows up": Goal(0),
    "cycles of modules at load time": Goal(0),
    "cycles of modules, any import": Goal(0),
    "cycles of rooms, any import": Goal(0),
    "names of kinds compared outside kinds.py": Goal(0),
    "dict[str, Any] in report/": Goal(0),
    "functions without all types": Goal(0),
    "docstrings beginning with a wrong word": Goal(0),
}


@dataclass(frozen=True)
class Measure:
    """A number about the source, and the places it counts."""

    name: str
    value: float
    places: tuple[str, ...] = ()

    @property
    def goal(self) -> Goal | None:
        return GOALS.get(self.name)

    @property
    def is_missed(self) -> bool:
        return self.goal is not None and self.value > self.goal.bound


def _sizes(noun: str, sizes: dict[str, int], limit: int) -> list[Measure]:
    ordered = sorted(sizes.values()) or [0]
    over = tuple(f"{where} has {lines} lines" for where, lines in sizes.items() if lines > limit)
    return [
        Measure(f"{noun}s", len(sizes)),
        Measure(f"median {noun}, lines", statistics.median(ordered)),
        Measure(f"p90 {noun}, lines", ordered[int(0.9 * len(ordered))]),
        Measure(f"longest {noun}, lines", ordered[-1]),
        Measure(f"{noun}s over {limit} lines", len(over), over),
    ]


def measure_sizes(house: House) -> list[Measure]:
    """Return how many files and functions there are and how long they are; a function with all that is inside it."""
    files = {m.path: m.lines for m in house.modules}
    functions = {m.where(f.lineno): _length(f) for m in house.modules for f in m.functions}
    return [
        *_sizes("file", files, MAX_FILE_LINES),
        Measure("lines", sum(files.values())),
        *_sizes("function", functions, MAX_FUNCTION_LINES),
    ]


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def measure_rooms(house: House) -> list[Measure]:
    """Return the rooms, what joins them, and every cycle."""
    top = {m.name.split(".")[1] for m in house.modules}
    up = tuple(map(str, find_arrows_up(house)))
    lazy = tuple(str(i) for i in house.imports if i.when == LAZY)
    return [
        Measure("names at the top", len(top)),
        Measure("rooms", len(house.room_arrows)),
        Measure("floors", count_floors(house.room_arrows)),
        Measure("arrows between rooms", sum(map(len, house.room_arrows.values()))),
        Measure("arrows up", len(up), up),
        _cycles("cycles of modules at load time", house.arrows(LOAD)),
        _cycles("cycles of modules, any import", house.arrows(LOAD, LAZY, TYPING)),
        _cycles("cycles of rooms, any import", house.room_arrows),
        Measure("imports inside functions", len(lazy), lazy),
    ]


def _cycles(name: str, graph: Graph) -> Measure:
    found = tuple(find_cycles(graph))
    return Measure(name, len(found), found)


def measure_kinds(house: House) -> list[Measure]:
    """Return where else than in kinds.py a kind or a workload is named to tell it from others."""
    kinds, constants = find_kinds(house)
    found = tuple(
        f"{m.where(line)}: {name}"
        for m in house.modules
        if m.room != "kinds"
        for line, name in sorted(set(_named_kinds(m, kinds, constants)))
    )
    return [Measure("names of kinds compared outside kinds.py", len(found), found)]


def find_kinds(house: House) -> tuple[set[str], set[str]]:
    """Return the names that kinds.py gives to kinds and workloads, and those of the constants that hold them."""
    table = [node for m in house.modules if m.room == "kinds" for node in m.nodes]
    holders = [n for n in table if isinstance(n, ast.Assign) and _kind_name(n.value)]
    constants = {target.id for n in holders for target in n.targets if isinstance(target, ast.Name)}
    return {name for node in table if (name := _kind_name(node))}, constants


def _kind_name(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Name(id="Kind" | "Workload"), args=[ast.Constant(value=str(name)), *_]):
            return name
    return None


def _named_kinds(module: Module, kinds: set[str], constants: set[str]) -> Iterator[tuple[int, str]]:
    """Yield lines and names; one that is an ordinary word as well counts where it is compared or beside another."""
    for node in module.nodes:
        parts = _told_apart_by(node)
        names = {word for part in parts for word in _words_in(part, constants)} & (kinds | constants)
        if isinstance(node, ast.Compare | ast.MatchValue) or len(names) > 1 or names - AMBIGUOUS_KINDS:
            yield from ((parts[0].lineno, name) for name in names)


def _told_apart_by(node: ast.AST) -> list[ast.expr]:
    """Return the parts of a node by which it tells things apart: what it compares, its case, keys or members."""
    match node:
        case ast.Compare():
            return [node.left, *node.comparators]
        case ast.MatchValue():
            return [node.value]
        case ast.Dict():
            return [key for key in node.keys if key is not None]
        case ast.Set() | ast.Tuple() | ast.List():
            return [part for part in node.elts if isinstance(part, ast.Constant)]
        case ast.Subscript(value=ast.Name(id="Literal")):
            return [node.slice]
    return []


def _words_in(node: ast.AST, constants: set[str]) -> Iterator[str]:
    for inner in ast.walk(node):
        match inner:
            case ast.Constant(value=str(text)):
                yield text
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="kinds"), attr=name) if (
                name in constants
            ):
                yield name


def measure_types(house: House) -> list[Measure]:
    """Return where a bag of anything stands for a type, and which functions say no types."""
    bags = [
        (m, m.where(node.lineno))
        for m in house.modules
        for node in m.nodes
        if isinstance(node, ast.Subscript) and ast.unparse(node) == "dict[str, Any]"
    ]
    told = tuple(where for m, where in bags if m.room == "report")
    untyped = tuple(m.where(f.lineno) for m in house.modules for f in m.functions if not _is_typed(f))
    return [
        Measure("dict[str, Any] in report/", len(told), told),
        Measure("dict[str, Any] elsewhere", len(bags) - len(told)),
        Measure("functions without all types", len(untyped), untyped),
    ]


def _is_typed(function: Function) -> bool:
    a = function.args
    taken = [*a.posonlyargs, *a.args, *a.kwonlyargs, *(x for x in (a.vararg, a.kwarg) if x)]
    return function.returns is not None and all(x.annotation or x.arg in {"self", "cls"} for x in taken)


def measure_words(house: House) -> list[Measure]:
    """Return how docstrings begin, and which names mean two things."""
    first = {
        f"{m.where(node.body[0].lineno)}: {text.split(maxsplit=1)[0]}": text.split(maxsplit=1)[0]
        for m in house.modules
        for node in m.nodes
        if isinstance(node, Function | ast.ClassDef | ast.Module) and (text := ast.get_docstring(node))
    }
    wrong = tuple(where for where, word in first.items() if word in WRONG_FIRST_WORDS)
    often = Counter(first.values()).most_common(SHOWN_FIRST_WORDS)
    twice = _names_used_twice(house)
    return [
        Measure("docstrings", len(first)),
        *(Measure(f"    beginning with {word}", count) for word, count in often),
        Measure("docstrings beginning with a wrong word", len(wrong), wrong),
        Measure("names of classes used twice", len(twice), twice),
    ]


def _names_used_twice(house: House) -> tuple[str, ...]:
    places: dict[str, list[str]] = defaultdict(list)
    for m in house.modules:
        for node in m.nodes:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(m.where(node.lineno))
    return tuple(f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1)


def measure(house: House) -> list[Measure]:
    """Return every measure, in the order of the table."""
    parts = (measure_sizes, measure_rooms, measure_kinds, measure_types, measure_words)
    return [each for part in parts for each in part(house)]


def describe(each: Measure) -> str:
    """Return one line of the table: a number, what it is, and its goal."""
    if each.goal is None:
        return f"{each.value:8g}  {each.name}"
    later = f", today {each.goal.today:g}" if each.goal.today is not None else ""
    verdict = "missed" if each.is_missed else "met"
    return f"{each.value:8g}  {each.name}  (at most {each.goal.limit:g}{later}: {verdict})"


def main() -> int:
    """Print the table; with --check, return 1 where a goal is missed."""
    measures = measure(read_house())
    for each in measures:
        print(describe(each))
    missed = [each for each in measures if each.is_missed]
    if "--check" not in sys.argv[1:]:
        return 0
    for each in missed:
        print(f"\n{each.name}:", *each.places, sep="\n    ")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

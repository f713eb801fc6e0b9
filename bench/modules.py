"""The modules of a package as parsed text, who imports whom, and the order in which they may."""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "freepage"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE

# Every module and folder at the top. A module may import from its own layer and from those before it.
LAYERS = (
    ("errors", "units", "cache", "aio"),
    ("records", "metrics", "store", "kinds"),
    ("fpr", "sampling"),
    ("study",),
    ("worker", "kube"),
    ("image", "kubevirt", "hosts", "prometheus"),
    ("targets",),
    ("run",),
    ("analysis",),
    ("forecast",),
    ("report",),
    ("cli",),
)
LOAD, LAZY, TYPING = "at load time", "inside a function", "for types only"

Graph = dict[str, set[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One module imported by another; libraries by their full names."""

    importer: Module
    imported: str
    when: str
    line: int

    @property
    def library(self) -> str:
        """The first part of what is imported: the package's own name, or that of a library."""
        return self.imported.split(".")[0]

    def __str__(self) -> str:
        return f"{self.importer.where(self.line)} imports {self.imported} {self.when}"


@dataclass(frozen=True, eq=False)
class Module:
    """One file, parsed. Its name is that of the import, with the package's before it."""

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def room(self) -> str:
        """The folder of a module, or a module at the top itself."""
        parts = self.name.split(".")[1:]
        return ".".join(parts[:-1] or parts)

    @property
    def functions(self) -> Iterator[Function]:
        return (n for n in self.nodes if isinstance(n, Function))

    def where(self, line: int) -> str:
        return f"{self.path}:{line}"


@dataclass(frozen=True)
class House:
    """All modules of a package and who imports whom."""

    modules: tuple[Module, ...]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        names = {m.name for m in self.modules}
        return tuple(i for m in self.modules for i in find_imports(m, names))

    @cached_property
    def rooms(self) -> dict[str, str]:
        return {m.name: m.room for m in self.modules}

    def arrows(self, *when: str) -> Graph:
        """Return which modules of the package each module imports, by any of the given kinds of import."""
        graph: Graph = {m.name: set() for m in self.modules}
        for each in self.imports:
            if each.when in when and each.imported in graph:
                graph[each.importer.name].add(each.imported)
        return graph

    @cached_property
    def room_arrows(self) -> Graph:
        """Return which rooms each room imports from; a folder and those inside it are one room to each other."""
        graph: Graph = {room: set() for room in self.rooms.values()}
        for each in self.imports:
            own, other = each.importer.room, self.rooms.get(each.imported, each.importer.room)
            if not f"{own}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{own}."):
                graph[own].add(other)
        return graph


def read_house(source: Path = SOURCE) -> House:
    """Read every module below the folder of a package; its own __init__.py is none, nor is one that is empty."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    return House(
        tuple(
            Module(
                ".".join([source.name, *_parts(path.relative_to(source))]),
                str(path.relative_to(source.parent)),
                text,
            )
            for path, text in texts.items()
            if path.stem != "__init__" or (text.strip() and path.parent != source)
        )
    )


def _parts(path: Path) -> list[str]:
    return [part for part in path.with_suffix("").parts if part != "__init__"]


def find_imports(module: Module, names: set[str]) -> Iterator[Import]:
    """Yield what a module imports; `from package import module` is an import of that module."""
    for node, when in _import_statements(module.tree, LOAD):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            package = module.name.rpartition(".")[0]
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            full = [f"{base}.{alias.name}" for alias in node.names]
            found = [name if name in names else base for name in full]
        yield from (Import(module, name, when, node.lineno) for name in dict.fromkeys(found))


def _import_statements(node: ast.AST, when: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, when
        elif isinstance(child, Function):
            yield from _import_statements(child, LAZY)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _import_statements(child, TYPING)
        else:
            yield from _import_statements(child, when)


def reach(graph: Graph) -> Graph:
    """Return all that can be reached from each node."""
    return {start: _walk(graph, start) for start in graph}


def _walk(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        node = ahead.pop()
        if node not in seen:
            seen.add(node)
            ahead += graph[node]
    return seen


def find_cycles(graph: Graph) -> list[str]:
    """Return each set of nodes that all reach each other, as one line."""
    reached = reach(graph)
    cycles = {frozenset(m for m in reached[n] if n in reached[m]) for n in graph if n in reached[n]}
    return sorted(" <> ".join(sorted(cycle)) for cycle in cycles)


def count_floors(graph: Graph) -> int:
    """Return the length of the longest chain of rooms; those in one cycle stand on one floor."""
    reached = reach(graph)

    @cache
    def floor(node: str) -> int:
        return 1 + max((floor(n) for n in reached[node] if node not in reached[n]), default=0)

    return max(map(floor, graph), default=0)


def find_arrows_up(house: House) -> list[Import]:
    """Return the imports, of any kind, of a layer above the importer's own."""
    layers = {name: n for n, layer in enumerate(LAYERS) for name in layer}
    return [
        each
        for each in house.imports
        if each.imported in house.rooms
        and layers.get(_top(each.imported), 0) > layers.get(_top(each.importer.name), len(LAYERS))
    ]


def _top(name: str) -> str:
    return name.split(".")[1]

"""The blocks of an experiment: every arm once in each, in balanced orders, with schedules and a sampling phase of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from freepage.study.schedule import RandomStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from freepage.records import Arm

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """One repeat of an experiment: what all its trials share, and its arms in the order they run.

    seed: of its schedules. phase: at which share of a sampling interval after the trial's zero the samples are taken.
    """

    number: int
    seed: int
    phase: float
    arms: tuple[Arm, ...]


def draw_blocks(seed: int, experiment: str, arms: Sequence[Arm], count: int) -> list[Block]:
    """Return the blocks of an experiment; the same arguments always give the same ones."""
    orders = balance_orders(arms, count, RandomStream(f"{seed}:{experiment}:arms"))
    return [
        Block(
            number,
            block_seed(seed, experiment, number),
            RandomStream(f"{seed}:{experiment}:{number}:phase").fraction(),
            order,
        )
        for number, order in enumerate(orders)
    ]


def block_seed(seed: int, experiment: str, block: int) -> int:
    """Return the seed of a block's schedules: the study's own for the first one, then one derived from it."""
    if block == 0:
        return seed
    return int(RandomStream(f"{seed}:{experiment}:{block}:schedule").fraction() * 2**31)


def balance_orders(arms: Sequence[Arm], count: int, stream: RandomStream) -> list[tuple[Arm, ...]]:
    """Return an order of the arms for each of `count` blocks, balanced over the positions in a block.

    Each len(arms) blocks are a Latin square with its rows and arms permuted: every arm once in each position. The blocks
    that are left are orders each followed by its mirror image, over which a linear drift cancels.
    """
    orders: list[tuple[Arm, ...]] = []
    while len(orders) < count:
        left = count - len(orders)
        square = _draw_square(arms, stream)
        orders += square if left >= len(arms) else list(_with_mirrors(square))[:left]
    return orders


def _draw_square(arms: Sequence[Arm], stream: RandomStream) -> list[tuple[Arm, ...]]:
    """Return a Latin square of the arms (for an even number Williams', in which every arm follows every other once)."""
    names, size = _shuffle(arms, stream), len(arms)
    first = [n // 2 if n % 2 == 0 else size - (n + 1) // 2 for n in range(size)]
    first = first if size % 2 == 0 else list(range(size))
    return _shuffle([tuple(names[(n + shift) % size] for n in first) for shift in range(size)], stream)


def _with_mirrors(orders: Sequence[tuple[Arm, ...]]) -> Iterator[tuple[Arm, ...]]:
    for order in orders:
        yield order
        yield order[::-1]


def _shuffle(values: Sequence[T], stream: RandomStream) -> list[T]:
    """Return the values in a drawn order (Fisher and Yates)."""
    drawn = list(values)
    for last in range(len(drawn) - 1, 0, -1):
        other = int(stream.fraction() * (last + 1))
        drawn[last], drawn[other] = drawn[other], drawn[last]
    return drawn

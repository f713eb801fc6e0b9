"""The kubelets that launchers are read through: many at once, and one that does not answer is soon asked no more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.errors import ClusterError, SilentError
from freepage.kube.retries import find_pause, is_of_node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# The number of questions at once: an API server gives one user some dozens of requests before it makes them wait.
SLOTS = 32
# As many nodes are asked for the first time at once, beside those: it costs the API server little to wait for them.
FIRST_SLOTS = 128
# The time (s) in which a kubelet answers; a loaded one takes a second or two.
LIMIT_S = 6.0
# A node that has failed so many questions in a row is asked no more.
MOST_FAILURES = 2
# A kubelet's own words, also with 500, for a container that has ended: it answers.
_CONTAINER_GONE = "container not found"


class SilentNodeError(ClusterError):
    """A node's kubelet does not answer: the question is not asked again, nor after some failures any other there."""

    def __init__(self, node: str, cause: ClusterError | None = None) -> None:
        reason = "" if cause is None else f": {_describe(cause)}"
        super().__init__(f"node {node} does not answer{reason}")
        self.node = node


@dataclass
class _Kubelet:
    """One node and how it has answered so far; until it has answered once it is asked one question at a time, `asked` being set by its end."""

    node: str
    answered: bool = False
    failures: int = 0
    asked: asyncio.Event | None = None

    def check(self) -> None:
        """Raise SilentNodeError where it is asked no more."""
        if self.failures >= MOST_FAILURES:
            raise SilentNodeError(self.node)


class Kubelets:
    """The kubelets of one look at a cluster, by node."""

    def __init__(self) -> None:
        self._kubelets: dict[str, _Kubelet] = {}
        self._slots = asyncio.Semaphore(SLOTS)
        self._first_slots = asyncio.Semaphore(FIRST_SLOTS)

    async def ask(self, node: str, question: Callable[[], Awaitable[T]]) -> T:
        """Ask one node something through the API server; SilentNodeError where its kubelet does not answer.

        Any other refusal is an answer, and raised as it is.
        """
        kubelet = self._kubelets.setdefault(node, _Kubelet(node))
        while not kubelet.answered:
            kubelet.check()
            if kubelet.asked is None:
                return await self._ask_first(kubelet, question)
            await kubelet.asked.wait()
        async with self._slots:
            kubelet.check()
            return await _ask(kubelet, question)

    async def _ask_first(self, kubelet: _Kubelet, question: Callable[[], Awaitable[T]]) -> T:
        kubelet.asked = asked = asyncio.Event()
        try:
            async with self._first_slots:
                return await _ask(kubelet, question)
        finally:
            kubelet.asked = None
            asked.set()


async def _ask(kubelet: _Kubelet, question: Callable[[], Awaitable[T]], *, again: bool = True) -> T:
    """Ask one question; the first that fails at once is asked again."""
    try:
        answer = await question()
    except ClusterError as error:
        silent = is_of_node(error) or (error.status or 0) > 500
        if not silent or _CONTAINER_GONE in error.message:
            kubelet.answered |= error.status is not None
            raise
        # What was not the node's was repeated on the way, and silence has lasted.
        if not again or kubelet.failures or error.status != 500:
            kubelet.failures += 1
            raise SilentNodeError(kubelet.node, error) from error
        await asyncio.sleep(find_pause(1, error))
        return await _ask(kubelet, question, again=False)
    kubelet.answered, kubelet.failures = True, 0
    return answer


def _describe(cause: ClusterError) -> str:
    return f"nothing within {LIMIT_S:.0f} s" if isinstance(cause, SilentError) else cause.message

"""Doubts, and the input they are found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from freepage.analysis.definition import Area
    from freepage.analysis.estimates import TrialValues
    from freepage.analysis.experiments import Experiments
    from freepage.store import Run


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust part of a result; experiment: the one it is about, None for the whole run."""

    id: str
    text: str
    remedy: str
    touches: Area
    experiment: str | None = None


@dataclass(frozen=True)
class DoubtInput:
    """The input of every check: the run, each trial's numbers by its id, and the experiments' results by name."""

    run: Run
    values: Mapping[str, TrialValues]
    experiments: Experiments

    @property
    def host(self) -> str:
        return f"the {self.run.manifest.target_noun}"

    @property
    def alone(self) -> str:
        """The way to keep what is measured apart from other work."""
        if self.run.manifest.node_is_fixed:
            return "Measure nodes that run nothing else (--nodes)"
        return "Stop other work on the host, or use --node-memory, which counts nothing else"

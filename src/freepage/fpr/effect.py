"""Whether FPR that is on has an effect, as far as a VM's objects show: what speaks against it, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """The findings about the effect of FPR on one VM; without any, nothing speaks against it.

    ineffective: each reason for which the host's memory stays as it is although FPR is on. unknown: what could not be
    seen, and would decide whether it does.
    """

    ineffective: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __add__(self, other: Effect) -> Effect:
        return Effect(self.ineffective + other.ineffective, self.unknown + other.unknown)

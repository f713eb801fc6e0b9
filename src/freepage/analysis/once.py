"""Values of one trial that are made once, however many ask for them."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from freepage.store import TrialData

Found = TypeVar("Found")


def once_per_trial(function: Callable[[TrialData], Found]) -> Callable[[TrialData], Found]:
    """Return a function that is called once for each trial; what it returned is kept as long as the trial is."""
    kept: WeakKeyDictionary[TrialData, Found] = WeakKeyDictionary()

    @wraps(function)
    def find(trial: TrialData) -> Found:
        if trial not in kept:
            kept[trial] = function(trial)
        return kept[trial]

    return find

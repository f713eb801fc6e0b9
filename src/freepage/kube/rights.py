"""The rights that an API server has permitted to one login, and which of its refusals need not last.

A server that has just started answers before it knows users, tokens and roles again: for some seconds it refuses (401, 403) what it
permits. So a refusal of what was permitted before, or right after the server was away, counts once it has lasted EARLY_S.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from freepage.kube.errors import ForbiddenError

if TYPE_CHECKING:
    from freepage.kube.call import Call
    from freepage.kube.errors import ClusterError

# An API server has read its roles within seconds of its start; a large one within half a minute.
EARLY_S = 30.0
# The words of admission that waits for what it has to know.
NOT_READY = "not yet ready to handle request"
# Who asks is found out before what they may do, and that before what they ask for; a busy server does neither.
_NOT_PERMITTED = frozenset({401, 403, 407, 408, 429})
# A proxy before the server answers so while it is away.
_AWAY = frozenset({502, 503, 504})

# A verb, a resource (or a path), and a namespace (Call.right).
Right = tuple[str, str, str]
LOGIN: Right = ("", "", "")


class Rights:
    """The rights one login has made use of, and since when each has been refused."""

    def __init__(self) -> None:
        self._permitted: set[Right] = set()
        # Those that were refused for good: they stay so over a restart of the server.
        self._denied: set[Right] = set()
        # The first and the last time (s, monotonic) of refusals with no answer in between.
        self._refused: dict[Right, tuple[float, float]] = {}
        self._away_s = float("-inf")
        # Whether the login was: by an answer of more than what everybody may ask, as the version.
        self._accepted = False

    def note_answer(self, call: Call, status: int) -> None:
        """Note what a status of HTTP shows: that the call was permitted, or that the server is away."""
        if status in _AWAY:
            self.note_away()
        elif status < 500 and status not in _NOT_PERMITTED:
            self._accepted |= bool(call.resource)
            self._permitted.add(call.right)
            self._denied.discard(call.right)
            for right in (call.right, LOGIN):
                self._refused.pop(right, None)

    def note_away(self) -> None:
        """Note that the server took no connection, or broke one off."""
        self._away_s = time.monotonic()

    def is_early(self, call: Call, refusal: ClusterError) -> bool:
        """Note a refusal, and return whether it may be that of a server that does not know its rights yet."""
        if refusal.status == 401:
            young = [self._note_refusal(right) for right in (call.right, LOGIN)]
            self._accepted &= all(young)
            return all(young) and (self._accepted or self._was_away)
        if not isinstance(refusal, ForbiddenError):
            return False
        if NOT_READY in refusal.message:
            self.note_away()
        elif refusal.denial is None:
            return False
        return self.may_pass(call.right)

    def may_pass(self, right: Right) -> bool:
        """Note that a right is refused, and return whether it may be permitted again: it was before, or the server was just away."""
        young = self._note_refusal(right)
        if young and (right in self._permitted or (self._was_away and right not in self._denied)):
            return True
        self._permitted.discard(right)
        self._denied.add(right)
        return False

    @property
    def _was_away(self) -> bool:
        return time.monotonic() - self._away_s < EARLY_S

    def _note_refusal(self, right: Right) -> bool:
        """Note one refusal, and return whether the right has been refused for less than EARLY_S so far."""
        now_s = time.monotonic()
        first_s, last_s = self._refused.get(right, (now_s, now_s))
        if now_s - last_s > EARLY_S:
            first_s = now_s
        self._refused[right] = first_s, now_s
        return now_s - first_s < EARLY_S

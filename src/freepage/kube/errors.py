"""The errors of a cluster's API, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from freepage.errors import FreepageError


class ClusterError(FreepageError):
    """The cluster refused a call or did not answer it; `status` is HTTP's, None where there was no answer.

    retry_after_s: the pause that the cluster asks for before a retry (s). early: the refusal may be that of a server that
    has just started and does not know its rights yet (kube/rights.py).
    """

    exit_status = 7

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s: float | None = None
        self.early = False


class UnreachableError(ClusterError):
    """No connection, no answer in time, or a certificate that does not fit."""


class NotConnectedError(UnreachableError):
    """No connection came about, so nothing was asked of the server."""


class SilentError(UnreachableError):
    """No answer, or no next piece of one, in the time that is allowed for it."""


class CertificateError(UnreachableError):
    """The two sides do not trust each other; a retry changes nothing."""


class LoginError(ClusterError):
    """No usable kubeconfig, token or service account; or the server does not know who is asking."""


class NoLoginError(LoginError):
    """There is nothing to log in with: no kubeconfig was named or found, and this is no pod with a service account."""


@dataclass(frozen=True)
class Denial:
    """The right that RBAC denied: a verb on a resource ("pods/log") to a user; namespace: the one they work in."""

    user: str
    verb: str
    resource: str
    namespace: str


class ForbiddenError(ClusterError):
    """A call that this user may not make; `denial` is None where admission refuses it (a quota, a webhook)."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        denial: Denial | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.denial = denial


class NotFoundError(ClusterError):
    """The object, or the kind itself, is not there."""


class ExistsError(ClusterError):
    """A name is taken."""


class ConflictError(ClusterError):
    """The object was changed by someone else in between."""


class InvalidError(ClusterError):
    """The server's validation refuses the object; the message names the field."""

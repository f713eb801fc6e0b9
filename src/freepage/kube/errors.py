"""What a cluster may say no with, each with what to do about it."""

from __future__ import annotations

import re
import shlex

from freepage.errors import FreepageError


class ClusterError(FreepageError):
    """The cluster said no, or said nothing; `status` is HTTP's, None where there was no answer.

    retry_after_s: how long the cluster asks us to wait before we try again.
    """

    exit_status = 7

    def __init__(self, message: str, *, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s: float | None = None


class UnreachableError(ClusterError):
    """No connection, no answer in time, or a certificate that does not fit."""


class LoginError(ClusterError):
    """No usable kubeconfig, token or service account; or the server does not know who is asking."""


class ForbiddenError(ClusterError):
    """A verb on a resource that this user may not do; the hint names the RBAC manifest that grants it.

    user, namespace: who asked, and where they work; without a user it is admission that refuses.
    """

    user: str | None = None
    namespace: str = "default"

    def name_manifest(self, manifest: str) -> None:
        """Say which manifest permits it, for whom; none permits what admission refuses (a quota, a webhook)."""
        if self.user is None:
            return
        if account := re.fullmatch(r"system:serviceaccount:([^:]+):([^:]+)", self.user):
            who = f"--namespace {account[1]} --service-account {account[2]}"
        else:
            who = f"--user {shlex.quote(self.user)}"
            who += f" --namespace {self.namespace}" if manifest == "run" else ""
        self.hint = f"freepage rbac {manifest} {who} | kubectl apply -f -"


class NotFoundError(ClusterError):
    """The object, or the kind itself, is not there."""


class ExistsError(ClusterError):
    """A name is taken."""


class ConflictError(ClusterError):
    """The object was changed by someone else in between."""


class InvalidError(ClusterError):
    """The server's validation refuses the object; the message names the field."""

"""Errors that say what failed, the value, and what to do."""

from __future__ import annotations


class FreepageError(Exception):
    """Anything a person can act on: a message, an optional hint, and the exit status of the command."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class StudyError(FreepageError):
    """The study file or an option is wrong."""

    exit_status = 2


class CapacityError(FreepageError):
    """The study asks for more than the host has."""

    exit_status = 3


class HostError(FreepageError):
    """The host lacks a program, a kernel, a permission or a controller."""

    exit_status = 4


class RunFolderError(FreepageError):
    """A run folder cannot be written or read."""

    exit_status = 5


class TrialError(FreepageError):
    """One trial failed; the run goes on with the next."""


class InstanceError(TrialError):
    """An instance did not start, died, or broke the protocol; the message names it."""


class EvidenceError(TrialError):
    """The evidence of FPR contradicts the trial's arm."""

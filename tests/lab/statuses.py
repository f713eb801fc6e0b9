"""The API server's refusals, in Kubernetes' own words and forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.seams import Object


@dataclass(frozen=True)
class Cause:
    """One field that is wrong; `reason` as in FieldValueRequired."""

    reason: str
    field: str
    message: str

    def as_object(self) -> Object:
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(Exception):
    """A refusal: HTTP's code, Kubernetes' reason, and words."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after_s = retry_after_s

    def as_object(self) -> Object:
        details = dict(self.details)
        if self.retry_after_s is not None:
            details["retryAfterSeconds"] = self.retry_after_s
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({"details": details} if details else {}),
            "code": self.code,
        }


def describe(group: str, plural: str, name: str) -> Object:
    return {key: value for key, value in (("name", name), ("group", group), ("kind", plural)) if value}


def qualify(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    subject = qualify(group, plural) + (f' "{name}"' if name else "")
    return StatusError(
        403, "Forbidden", f"{subject} is forbidden: {why}", details=describe(group, plural, name)
    )


def not_found(group: str, plural: str, name: str) -> StatusError:
    return StatusError(
        404,
        "NotFound",
        f'{qualify(group, plural)} "{name}" not found',
        details=describe(group, plural, name),
    )


def unknown_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group: str, plural: str, name: str) -> StatusError:
    return StatusError(
        409,
        "AlreadyExists",
        f'{qualify(group, plural)} "{name}" already exists',
        details=describe(group, plural, name),
    )


def conflict(group: str, plural: str, name: str, why: str | None = None) -> StatusError:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {qualify(group, plural)} "{name}": {why}',
        details=describe(group, plural, name),
    )


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unsupported_media_type(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)


def internal_error(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> StatusError:
    found = [f"{cause.field}: {cause.message}" for cause in causes]
    text = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
    return StatusError(
        422,
        "Invalid",
        f'{qualify(group, kind)} "{name}" is invalid: {text}',
        details=describe(group, kind, name) | {"causes": [cause.as_object() for cause in causes]},
    )


def denied(webhook: str, causes: Sequence[Cause]) -> StatusError:
    """The refusal of an admission webhook."""
    return StatusError(
        422,
        "Invalid",
        f'admission webhook "{webhook}" denied the request: ' + ", ".join(cause.message for cause in causes),
        details={"causes": [cause.as_object() for cause in causes]},
    )

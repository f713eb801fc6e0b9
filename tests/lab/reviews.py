"""Reviews of the user's own identity and rights, and tokens for service accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.access import Attempt
from lab.messages import answer, read_body
from lab.reading import find
from lab.schemas import check, core_schema
from lab.statuses import Cause, invalid
from lab.store import timestamp

if TYPE_CHECKING:
    from aiohttp import web

    from lab.access import Access
    from lab.call import Call
    from lab.conversion import Conversion
    from lab.seams import Object
    from lab.store import MemoryStore

SHORTEST_TOKEN_S = 600


class Reviewer:
    """Answer reviews and requests for tokens."""

    def __init__(self, store: MemoryStore, conversion: Conversion, access: Access) -> None:
        self._store = store
        self._conversion = conversion
        self._access = access

    async def review(self, call: Call) -> web.Response:
        body = self._conversion.take(call, await read_body(call.request))
        if call.kind.kind == "SelfSubjectReview":
            status: Object = {"userInfo": {"username": call.user.name, "groups": list(call.user.groups)}}
        else:
            attempt = read_attempt(body["spec"].get("resourceAttributes") or {})
            status = {"allowed": self._access.allows(call.user, attempt)}
        return answer({**body, "status": status}, status=201)

    async def issue_token(self, call: Call) -> web.Response:
        account = find(self._store, call)
        body = check(core_schema("TokenRequest"), await read_body(call.request)).object
        lasts_s = (body.get("spec") or {}).get("expirationSeconds", 3600)
        if lasts_s < SHORTEST_TOKEN_S:
            words = f"Invalid value: {lasts_s}: may not specify a duration less than 10 minutes"
            cause = Cause("FieldValueInvalid", "spec.expirationSeconds", words)
            raise invalid("authentication.k8s.io", "TokenRequest", call.name, [cause])
        status = {
            "token": self._access.issue_for(account, lasts_s),
            "expirationTimestamp": timestamp(lasts_s),
        }
        head = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
        return answer({**body, **head, "status": status}, status=201)


def read_attempt(attributes: Object) -> Attempt:
    """Read what an access review asks about."""
    resource = "/".join(filter(None, (attributes.get("resource"), attributes.get("subresource"))))
    rest = (attributes.get(key, "") for key in ("namespace", "name"))
    return Attempt(attributes.get("verb", ""), attributes.get("group", ""), resource, *rest)

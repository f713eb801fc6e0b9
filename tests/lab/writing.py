"""Creating, changing and deleting objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import admission, kubevirt, openshift
from lab.access import Attempt
from lab.controllers import FOREGROUND, orphan_dependents
from lab.messages import answer, parse_selectors, read_body, read_delete_options
from lab.reading import find
from lab.statuses import (
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
    unsupported_media_type,
)
from lab.store import NAMESPACES, PODS, ConflictError, copied, merged, namespaced_name

if TYPE_CHECKING:
    from aiohttp import web

    from lab.access import Access
    from lab.call import Call
    from lab.conversion import Conversion
    from lab.kinds import Catalog, Kind
    from lab.seams import Object
    from lab.store import MemoryStore

MERGE_PATCH = "application/merge-patch+json"


class Writer:
    """Answer the calls that change objects."""

    def __init__(self, store: MemoryStore, conversion: Conversion, access: Access, catalog: Catalog) -> None:
        self._store = store
        self._conversion = conversion
        self._access = access
        self._catalog = catalog

    async def create(self, call: Call) -> web.Response:
        obj = self._conversion.take(call, await read_body(call.request))
        if obj["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        self._refuse_namespace(call, obj)
        self._refuse_blocking(call, obj)
        kubevirt.refuse_create(call.kind, obj)
        self._complete(call, obj)
        if has_own_status(call.kind):
            obj.pop("status", None)
        if call.key == PODS:
            self._secure(call, obj)
            obj["status"] = {"phase": "Pending", "qosClass": "Burstable"}
        try:
            created = self._store.create(call.key, obj, dry_run=call.dry_run)
        except FileExistsError:
            raise already_exists(call.kind.group, call.kind.plural, obj["metadata"]["name"]) from None
        return answer(self._conversion.show(call, created), status=201)

    def _complete(self, call: Call, obj: Object) -> None:
        """Fill in defaults, and judge the whole."""
        admission.fill_in(call.kind, obj)
        kubevirt.fill_in(call.kind, obj)
        causes = admission.find_faults(call.kind, obj)
        if causes:
            raise invalid(call.kind.group, call.kind.kind, obj["metadata"].get("name", ""), causes)

    def _refuse_namespace(self, call: Call, obj: Object) -> None:
        """Refuse a new object in a namespace that is not there, or that is about to go."""
        if not call.kind.namespaced:
            return
        try:
            namespace = self._store.peek(NAMESPACES, "", call.namespace)
        except KeyError:
            raise not_found("", "namespaces", call.namespace) from None
        if namespace["metadata"].get("deletionTimestamp"):
            name = obj["metadata"].get("name", "")
            why = f"unable to create new content in namespace {call.namespace} because it is being terminated"
            raise forbidden(call.kind.group, call.kind.plural, name, why)

    def _refuse_blocking(self, call: Call, obj: Object) -> None:
        """Refuse an owner to wait for what its finalizers may not be set by this user, as OpenShift does."""
        for reference in obj["metadata"].get("ownerReferences") or ():
            group = reference["apiVersion"].rpartition("/")[0]
            resource = f"{self._catalog.find_plural(group, reference['kind'])}/finalizers"
            attempt = Attempt("update", group, resource, call.namespace, reference["name"])
            if reference.get("blockOwnerDeletion") and not self._access.allows(call.user, attempt):
                why = (
                    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , "
                    "<nil>"
                )
                raise forbidden(call.kind.group, call.kind.plural, obj["metadata"].get("name", ""), why)

    def _secure(self, call: Call, pod: Object) -> None:
        """Hold a pod to what its namespace allows: Pod Security, and OpenShift's constraints where it has them."""
        namespace = self._store.peek(NAMESPACES, "", call.namespace)
        anything = Attempt("use", "security.openshift.io", "securitycontextconstraints", "", "anyuid")
        constrained = openshift.UID_RANGE in (namespace["metadata"].get("annotations") or {})
        if constrained and not self._access.allows(call.user, anything):
            openshift.constrain(namespace, pod)
        admission.refuse_by_pod_security(namespace, pod)

    async def write(self, call: Call) -> web.Response:
        """Answer PUT and PATCH, of an object or of its status."""
        body = await read_body(call.request)
        # From here on nothing else runs: what is changed is what is there.
        before = find(self._store, call)
        obj = self._conversion.take(call, self._apply(call, before, body), before)
        if obj["metadata"].get("name") != call.name:
            raise bad_request("the name of the object does not match the name on the URL")
        if obj["metadata"].get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
            raise refuse_conflict(call, "Precondition failed: UID in precondition and in object meta differ")
        version = obj["metadata"].get("resourceVersion") or None
        try:
            after = self._settle(call, before, obj)
            written = self._store.update(call.key, after, expect=version, dry_run=call.dry_run)
        except ConflictError:
            raise refuse_conflict(call) from None
        return answer(self._conversion.show(call, written))

    def _apply(self, call: Call, before: Object, body: Object) -> Object:
        """Return the whole object as a PUT or a PATCH wants it."""
        if call.request.method == "PUT":
            return body
        kind = call.request.content_type
        if kind != MERGE_PATCH:
            raise unsupported_media_type(
                f"the body of the request was in an unknown format ({kind}) - "
                f"accepted media types include: {MERGE_PATCH}"
            )
        before = self._conversion.show(call, before)
        metadata = {key: value for key, value in before["metadata"].items() if key != "resourceVersion"}
        return merged({**before, "metadata": metadata}, body)

    def _settle(self, call: Call, before: Object, obj: Object) -> Object:
        """Return what is to be stored: status and the rest are written apart where a kind has them apart."""
        if call.subresource == "status":
            return {**copied(before), "status": obj.get("status", {})}
        if has_own_status(call.kind):
            obj.pop("status", None)
            if "status" in before:
                obj["status"] = copied(before["status"])
        self._complete(call, obj)
        admission.refuse_forbidden_change(call.kind, before, obj)
        kubevirt.refuse_update(call.kind, before, obj)
        return obj

    async def delete(self, call: Call) -> web.Response:
        options = await read_delete_options(call.request)
        obj = find(self._store, call)
        conditions = options.get("preconditions") or {}
        for key in ("uid", "resourceVersion"):
            if conditions.get(key, obj["metadata"][key]) != obj["metadata"][key]:
                words = f"Precondition failed: {key} in precondition and in object meta differ"
                raise refuse_conflict(call, words)
        if not is_dry_run(call, options):
            self._delete_one(call.kind, obj, options)
        try:
            return answer(self._conversion.show(call, find(self._store, call)))
        except StatusError:
            details = {"name": call.name, "kind": call.kind.plural, "uid": obj["metadata"]["uid"]}
            details |= {"group": call.kind.group} if call.kind.group else {}
            done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return answer({**done, "details": details})

    async def delete_collection(self, call: Call) -> web.Response:
        fits = parse_selectors(call.request, call.kind)
        options = await read_delete_options(call.request)
        found = [obj for obj in self._store.peek_all(call.key, call.namespace or None) if fits(obj)]
        if not is_dry_run(call, options):
            for obj in found:
                self._delete_one(call.kind, obj, options)
        head = {"kind": f"{call.kind.kind}List", "apiVersion": call.api_version}
        metadata = {"resourceVersion": str(self._store.version)}
        items = [self._conversion.show(call, obj) for obj in found]
        return answer({**head, "metadata": metadata, "items": items})

    def _delete_one(self, kind: Kind, obj: Object, options: Object) -> None:
        """Delete with what is owned going first, after, or not at all."""
        namespace, name = namespaced_name(obj)
        policy = options.get("propagationPolicy", "Background")
        if policy == "Foreground" and not obj["metadata"].get("deletionTimestamp"):
            finalizers = [*(obj["metadata"].get("finalizers") or ()), FOREGROUND]
            self._store.merge(kind.key, namespace, name, {"metadata": {"finalizers": finalizers}})
        if policy == "Orphan":
            orphan_dependents(self._store, obj)
        self._store.end(kind.key, namespace, name, options.get("gracePeriodSeconds"))


def has_own_status(kind: Kind) -> bool:
    """Return whether writing an object leaves its status as it is; a VMI's belongs to KubeVirt too."""
    return kind.status or kind.key == kubevirt.INSTANCES


def is_dry_run(call: Call, options: Object) -> bool:
    return call.dry_run or "All" in (options.get("dryRun") or ())


def refuse_conflict(call: Call, why: str | None = None) -> StatusError:
    return conflict(call.kind.group, call.kind.plural, call.name, why)

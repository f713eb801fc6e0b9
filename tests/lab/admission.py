"""Checks of a write beyond its schema, and defaults: names, sizes, pods, pod security."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from lab.statuses import Cause, StatusError, bad_request, forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.kinds import Kind
    from lab.seams import Object

# ConfigMaps and Secrets: all their values together.
MOST_BYTES = 1024 * 1024
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(m|[kKMGTPE]i?|e[+-]?[0-9]+)?")
_FACTORS = {"m": 1e-3, **{unit: 1000.0**n for n, unit in enumerate("kMGTPE", 1)}}
_FACTORS |= {f"{unit.upper() if unit == 'k' else unit}i": 1024.0**n for n, unit in enumerate("kMGTPE", 1)}
_RBAC = "rbac.authorization.k8s.io"


def fill_in(kind: Kind, obj: Object) -> None:
    """Write Kubernetes' own defaults into an object."""
    if kind.key == ("", "pods"):
        _fill_in_pod(obj["spec"])
    if kind.key == ("", "secrets"):
        obj.setdefault("type", "Opaque")
        for key, text in (obj.pop("stringData", None) or {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()
    if kind.group == _RBAC:
        for subject in obj.get("subjects") or ():
            subject.setdefault("apiGroup", "" if subject["kind"] == "ServiceAccount" else _RBAC)


def _fill_in_pod(spec: Object) -> None:
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "serviceAccountName": "default",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        _fill_in_container(container)


def _fill_in_container(container: Object) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    container.setdefault("imagePullPolicy", "Always" if latest and "@" not in image else "IfNotPresent")
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    requests, limits = (container["resources"].get(key) for key in ("requests", "limits"))
    if limits:
        container["resources"]["requests"] = {**limits, **(requests or {})}


def find_faults(kind: Kind, obj: Object) -> list[Cause]:
    """Return what is wrong with an object although its schema fits."""
    found = list(_judge_metadata(kind, obj["metadata"]))
    if kind.key in {("", "configmaps"), ("", "secrets")}:
        found += _judge_data(obj)
    if kind.key == ("", "pods"):
        found += _judge_pod(obj["spec"])
    return found


def _judge_metadata(kind: Kind, metadata: Object) -> Iterator[Cause]:
    name = metadata.get("name", "")
    # Names of RBAC objects may hold colons.
    if not name and not metadata.get("generateName"):
        yield Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")
    elif name and kind.group != _RBAC and (wrong := _judge_name(kind, name)):
        yield Cause("FieldValueInvalid", "metadata.name", f'Invalid value: "{name}": {wrong}')
    for key, value in (metadata.get("labels") or {}).items():
        if wrong := _judge_label_value(value):
            yield Cause("FieldValueInvalid", "metadata.labels", f'Invalid value: "{value}": {wrong}')
        yield from _judge_key(key, "metadata.labels")
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _judge_key(key.lower(), "metadata.annotations")
    if sum(len(key) + len(value) for key, value in annotations.items()) > 256 * 1024:
        yield Cause("FieldValueTooLong", "metadata.annotations", "Too long: must have at most 262144 bytes")


def _judge_name(kind: Kind, name: str) -> str | None:
    if kind.plural == "namespaces":
        return judge_dns_label(name)
    if len(name) > 253:
        return "must be no more than 253 characters"
    if not _SUBDOMAIN.fullmatch(name):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
    return None


def judge_dns_label(name: str) -> str | None:
    """Return what is wrong with a DNS label; None for a good one."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if not _LABEL.fullmatch(name):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character"
        )
    return None


def _judge_label_value(value: str) -> str | None:
    if len(value) > 63:
        return "must be no more than 63 characters"
    if not _LABEL_VALUE.fullmatch(value):
        return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.'"
    return None


def _judge_key(key: str, where: str) -> Iterator[Cause]:
    """Judge the key of a label or annotation: NAME or PREFIX/NAME."""
    prefix, _, name = key.rpartition("/")
    good = _LABEL_VALUE.fullmatch(name) and 0 < len(name) <= 63
    if not good or (prefix and not _SUBDOMAIN.fullmatch(prefix)):
        yield Cause("FieldValueInvalid", where, f'Invalid value: "{key}": name part must be a qualified name')


def _judge_data(obj: Object) -> Iterator[Cause]:
    texts = obj.get("data") or {}
    for key in (*texts, *(obj.get("binaryData") or {})):
        if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key):
            yield Cause("FieldValueInvalid", f"data[{key}]", f'Invalid value: "{key}": a valid config key')
    if obj.get("kind") == "ConfigMap":
        sizes = [len(text.encode()) for text in texts.values()]
        sizes += [_decoded_size(text) for text in (obj.get("binaryData") or {}).values()]
    else:
        sizes = [_decoded_size(text) for text in texts.values()]
    if sum(sizes) > MOST_BYTES:
        field = "" if obj.get("kind") == "ConfigMap" else "data"
        words = f"Too long: may not be more than {MOST_BYTES} bytes"
        yield Cause("FieldValueTooLong", field, words)


def _decoded_size(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise bad_request(f"illegal base64 data: {error}") from error


def _judge_pod(spec: Object) -> Iterator[Cause]:
    if not spec["containers"]:
        yield Cause("FieldValueRequired", "spec.containers", "Required value")
    volumes = set()
    for n, volume in enumerate(spec.get("volumes") or ()):
        volumes.add(volume["name"])
        if len([key for key in volume if key != "name"]) != 1:
            words = "Required value: must specify exactly one volume type"
            yield Cause("FieldValueRequired", f"spec.volumes[{n}]", words)
    seen: set[str] = set()
    for n, container in enumerate(spec["containers"]):
        yield from _judge_container(container, f"spec.containers[{n}]", volumes)
        if container["name"] in seen:
            words = f'Duplicate value: "{container["name"]}"'
            yield Cause("FieldValueDuplicate", f"spec.containers[{n}].name", words)
        seen.add(container["name"])
    for n, container in enumerate(spec.get("initContainers") or ()):
        yield from _judge_container(container, f"spec.initContainers[{n}]", volumes)


def _judge_container(container: Object, path: str, volumes: set[str]) -> Iterator[Cause]:
    if wrong := judge_dns_label(container["name"]):
        yield Cause("FieldValueInvalid", f"{path}.name", f'Invalid value: "{container["name"]}": {wrong}')
    if not container.get("image"):
        yield Cause("FieldValueRequired", f"{path}.image", "Required value")
    for n, mount in enumerate(container.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            words = f'Not found: "{mount["name"]}"'
            yield Cause("FieldValueNotFound", f"{path}.volumeMounts[{n}].name", words)
    requests, limits = (container["resources"].get(key) or {} for key in ("requests", "limits"))
    for name, request in requests.items():
        if name in limits and parse_quantity(request) > parse_quantity(limits[name]):
            words = (
                f'Invalid value: "{request}": must be less than or equal to {name} limit of {limits[name]}'
            )
            yield Cause("FieldValueInvalid", f"{path}.resources.requests", words)


def parse_quantity(quantity: str | int) -> float:
    """Return a Kubernetes quantity ("1500m", "2Gi") as a number."""
    found = _QUANTITY.fullmatch(str(quantity))
    if found is None:
        raise bad_request(f"quantities must match the regular expression; found {quantity!r}")
    number, unit = found.groups()
    if unit and unit.startswith("e") and len(unit) > 1:
        return float(number + unit)
    return float(number) * (_FACTORS[unit] if unit else 1)


def refuse_by_pod_security(namespace: Object, pod: Object) -> None:
    """Refuse a pod that the namespace's own Pod Security level does not allow."""
    labels = namespace["metadata"].get("labels") or {}
    level = labels.get("pod-security.kubernetes.io/enforce", "privileged")
    broken = [*_below_baseline(pod["spec"])] if level in {"baseline", "restricted"} else []
    if level == "restricted":
        broken += _below_restricted(pod["spec"])
    if broken:
        why = f'violates PodSecurity "{level}:latest": ' + ", ".join(broken)
        raise forbidden("", "pods", pod["metadata"].get("name", ""), why)


def _below_baseline(spec: Object) -> Iterator[str]:
    spaces = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if spaces:
        yield f"host namespaces ({', '.join(f'{name}=true' for name in spaces)})"
    paths = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    if paths:
        yield f"hostPath volumes (volumes {', '.join(paths)})"
    for container, security in _securities(spec):
        if security.get("privileged"):
            yield f'privileged (container "{container}" must not set securityContext.privileged=true)'


def _below_restricted(spec: Object) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    for container, security in _securities(spec):
        said = f'(container "{container}" must set securityContext.'
        if security.get("allowPrivilegeEscalation") is not False:
            yield f"allowPrivilegeEscalation != false {said}allowPrivilegeEscalation=false)"
        if "ALL" not in (security.get("capabilities") or {}).get("drop", ()):
            yield f'unrestricted capabilities {said}capabilities.drop=["ALL"])'
        if not security.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield f"runAsNonRoot != true {said}runAsNonRoot=true)"
        if security.get("runAsUser", pod.get("runAsUser")) == 0:
            yield f'runAsUser=0 (container "{container}" must not set runAsUser=0)'
        profile = security.get("seccompProfile") or pod.get("seccompProfile") or {}
        if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f'seccompProfile {said}seccompProfile.type to "RuntimeDefault" or "Localhost")'


def _securities(spec: Object) -> Iterable[tuple[str, Object]]:
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        yield container["name"], container.get("securityContext") or {}


def refuse_forbidden_change(kind: Kind, before: Object, after: Object) -> None:
    """Refuse a change of what may not change once an object is there."""
    name = before["metadata"]["name"]
    if kind.key == ("", "pods") and _fixed_part(before) != _fixed_part(after):
        words = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        _refuse("Pod", name, Cause("FieldValueForbidden", "spec", words))
    if kind.group == _RBAC and before.get("roleRef") != after.get("roleRef"):
        _refuse(
            kind.kind, name, Cause("FieldValueInvalid", "roleRef", "Invalid value: cannot change roleRef")
        )
    if before.get("immutable") and any(before.get(k) != after.get(k) for k in ("data", "binaryData")):
        words = "Forbidden: field is immutable when `immutable` is set"
        _refuse(kind.kind, name, Cause("FieldValueForbidden", "data", words))


def _fixed_part(pod: Object) -> Object:
    spec = {key: value for key, value in pod["spec"].items() if key != "tolerations"}
    spec["containers"] = [{**container, "image": ""} for container in spec["containers"]]
    return spec


def _refuse(kind: str, name: str, cause: Cause) -> None:
    raise StatusError(
        422,
        "Invalid",
        f'{kind} "{name}" is invalid: {cause.field}: {cause.message}',
        details={"name": name, "kind": kind, "causes": [cause.as_object()]},
    )

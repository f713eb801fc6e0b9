"""The OCI bundle of one container of a pod."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freepage.kube.quantities import parse_quantity

if TYPE_CHECKING:
    from lab.images import Image
    from lab.seams import Object

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What containerd leaves a container whose pod says nothing of capabilities.
DEFAULT_CAPABILITIES = {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID"}
DEFAULT_CAPABILITIES |= {"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}
KVM = "devices.kubevirt.io/kvm"
# As containerd hides them; what shows the whole host, as meminfo, stat and vmstat do, stays.
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/sys/firmware"]
MASKED += ["/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_CPU_PERIOD_US = 100000


class ConfigError(Exception):
    """A container cannot be made from what its pod says (CreateContainerConfigError)."""


@dataclass(frozen=True)
class Surroundings:
    """Where a container will run: its cgroup's path, and the cgroup version of this host."""

    cgroup: str
    cgroup_version: int
    hostname: str
    mounts: list[dict[str, Any]] = field(default_factory=list)


def build_config(pod: Object, container: Object, image: Image, surroundings: Surroundings) -> dict[str, Any]:
    """Return the OCI runtime configuration of a container; ConfigError where Kubernetes would refuse it."""
    security = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    return {
        "ociVersion": "1.0.2",
        "hostname": surroundings.hostname,
        # The launcher's "image" is this host: never writable.
        "root": {
            "path": "rootfs",
            "readonly": image.root is None or bool(security.get("readOnlyRootFilesystem")),
        },
        "process": _process(pod, container, image, security),
        "mounts": [*_system_mounts(), *image.mounts, *surroundings.mounts],
        "linux": _linux(container, surroundings),
    }


def check_supported(pod: Object) -> str | None:
    """Return what of a pod's wishes this test cluster refuses for good; None when nothing."""
    spec = pod["spec"]
    shared = [key for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace") if spec.get(key)]
    shared += [v["name"] for v in spec.get("volumes") or [] if "hostPath" in v]
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    shared += [c["name"] for c in containers if (c.get("securityContext") or {}).get("privileged")]
    return f"the test cluster gives nothing of its host: {', '.join(shared)}" if shared else None


def _process(pod: Object, container: Object, image: Image, security: Object) -> dict[str, Any]:
    uid, gid = _user(security, image)
    if security.get("runAsNonRoot") and uid == 0:
        raise ConfigError("container has runAsNonRoot and image will run as root")
    capabilities = _capabilities(security.get("capabilities") or {})
    groups = [
        *(security.get("supplementalGroups") or []),
        *([security["fsGroup"]] if "fsGroup" in security else []),
    ]
    return {
        "terminal": False,
        "user": {"uid": uid, "gid": gid, "additionalGids": groups},
        "args": build_arguments(container, image.config),
        "env": _environment(pod, container, image.config),
        "cwd": container.get("workingDir") or image.config.get("WorkingDir") or "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "noNewPrivileges": security.get("allowPrivilegeEscalation") is False,
    }


def build_arguments(container: Object, config: dict[str, Any]) -> list[str]:
    """Return the command line: `command` replaces the image's entry point and its arguments, `args` only the latter."""
    command, arguments = container.get("command"), container.get("args")
    if command is None:
        command = config.get("Entrypoint") or []
        arguments = (config.get("Cmd") or []) if arguments is None else arguments
    whole = [*command, *(arguments or [])]
    if not whole:
        raise ConfigError("no command specified")
    return whole


def _user(security: Object, image: Image) -> tuple[int, int]:
    uid, _, gid = str(image.config.get("User") or "0").partition(":")
    if "runAsUser" not in security and not uid.isdigit():
        raise ConfigError(f"image has non-numeric user ({uid}), and the test cluster reads no passwd file")
    return security.get("runAsUser", int(uid) if uid.isdigit() else 0), security.get(
        "runAsGroup", int(gid or 0)
    )


def _capabilities(wanted: Object) -> list[str]:
    drop, add = ({name.removeprefix("CAP_") for name in wanted.get(key) or []} for key in ("drop", "add"))
    kept = set() if "ALL" in drop else DEFAULT_CAPABILITIES - drop
    return sorted(f"CAP_{name}" for name in kept | add)


def _environment(pod: Object, container: Object, config: dict[str, Any]) -> list[str]:
    found = dict(pair.partition("=")[::2] for pair in [PATH, *(config.get("Env") or [])])
    found["HOSTNAME"] = pod["metadata"]["name"]
    for variable in container.get("env") or []:
        found[variable["name"]] = _value(pod, variable)
    return [f"{name}={value}" for name, value in found.items()]


def _value(pod: Object, variable: Object) -> str:
    if "valueFrom" not in variable:
        return variable.get("value", "")
    path = (variable["valueFrom"].get("fieldRef") or {}).get("fieldPath")
    if path is None:
        raise ConfigError(f"the test cluster does not know where {variable['name']} comes from")
    found = pod
    for key in path.split("."):
        found = found[key]
    return str(found)


def _system_mounts() -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=64k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*quiet, "size=64m"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*quiet, "ro"]},
    ]


def _linux(container: Object, surroundings: Surroundings) -> dict[str, Any]:
    kinds = [
        "pid",
        "mount",
        "ipc",
        "uts",
        "network",
        *(["cgroup"] if surroundings.cgroup_version == 2 else []),
    ]
    limits = (container.get("resources") or {}).get("limits") or {}
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if "memory" in limits:
        resources["memory"] = {"limit": int(parse_quantity(limits["memory"]))}
    if "cpu" in limits:
        quota = max(1000, int(parse_quantity(limits["cpu"]) * _CPU_PERIOD_US))
        resources["cpu"] = {"quota": quota, "period": _CPU_PERIOD_US}
    linux = {
        "namespaces": [{"type": kind} for kind in kinds],
        "cgroupsPath": surroundings.cgroup,
        "resources": resources,
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    }
    if KVM in limits:
        kvm = {"type": "c", "major": 10, "minor": 232}
        linux["devices"] = [{**kvm, "path": "/dev/kvm", "fileMode": 0o666, "uid": 0, "gid": 0}]
        resources["devices"].append({**kvm, "allow": True, "access": "rwm"})
    return linux

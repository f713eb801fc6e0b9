"""User data that gives the serial console of any Linux VM with cloud-init to a worker (docs/decisions/010-image-for-clusters.md)."""

from __future__ import annotations

import base64
import gzip
import json

from freepage.errors import HostError
from freepage.units import MIB, format_bytes

# What a Secret may hold.
LARGEST_USER_DATA_BYTES = MIB
WORKER_PATH = "/usr/local/bin/freepage-worker"
SERVER_PATH = "/usr/local/bin/freepage-console"
# In a unit of its own where there is systemd, so that cloud-init can finish; else beside it.
START = f"systemd-run --collect --unit=freepage {SERVER_PATH} || setsid {SERVER_PATH} &"
# The login prompt goes before the worker has the console; the kernel keeps it for emergencies. No VM outlives its use.
_SERVER = """#!/bin/sh
(sleep {deadline_s}; poweroff -f) &
for tty in ttyAMA0 ttysclp0 ttyS0; do
    [ -e "/dev/$tty" ] && break
done
systemctl mask --runtime --now "serial-getty@$tty.service"
dmesg -n 1
{worker} <"/dev/$tty" >"/dev/$tty"
poweroff -f
"""


def build_user_data(worker: bytes, deadline_s: int) -> bytes:
    """Return the user data; it is too large for anything but a Secret. HostError when it is too large for that.

    The VM powers off when its worker ends, or `deadline_s` seconds after it could have started.
    """
    server = build_server(deadline_s)
    config = {
        "write_files": [_describe_file(WORKER_PATH, worker), _describe_file(SERVER_PATH, server.encode())],
        "runcmd": [START],
    }
    # JSON is YAML.
    data = b"#cloud-config\n" + json.dumps(config, indent=1).encode() + b"\n"
    if len(data) > LARGEST_USER_DATA_BYTES:
        raise HostError(
            f"the user data for VMs has {format_bytes(len(data))}, a Secret holds {format_bytes(LARGEST_USER_DATA_BYTES)}",
            hint="boot freepage's own image instead: freepage image build",
        )
    return data


def build_server(deadline_s: int) -> str:
    """Return the script that runs the worker on the serial console."""
    return _SERVER.format(deadline_s=deadline_s, worker=WORKER_PATH)


def _describe_file(path: str, content: bytes) -> dict[str, str]:
    packed = gzip.compress(content, mtime=0)
    return {
        "path": path,
        "permissions": "0755",
        "encoding": "gz+b64",
        "content": base64.b64encode(packed).decode(),
    }

"""Pushes an OCI layout to a registry with whichever tool for that is installed; credentials are the tool's own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.image.oci import TAG

if TYPE_CHECKING:
    from pathlib import Path

PULLED = "IMAGE-ID"


@dataclass(frozen=True)
class Pusher:
    """A program that pushes: its commands, PULLED in one of them stands for the last line the one before has printed.

    insecure: the option that takes a registry without a valid certificate.
    """

    commands: tuple[tuple[str, ...], ...]
    insecure: str


# By program, the best first: the first three push the layout as it is, podman packs its layers again.
PUSHERS = {
    "skopeo": Pusher((("skopeo", "copy", "{source}", "docker://{reference}"),), "--dest-tls-verify=false"),
    "crane": Pusher((("crane", "push", "{layout}", "{reference}"),), "--insecure"),
    "oras": Pusher((("oras", "cp", "--from-oci-layout", "{layout}:{tag}", "{reference}"),), "--to-insecure"),
    "podman": Pusher(
        (("podman", "pull", "--quiet", "{source}"), ("podman", "push", PULLED, "{reference}")),
        "--tls-verify=false",
    ),
}


def push_image(layout: Path, reference: str, *, insecure: bool) -> str:
    """Push the image of a layout and give the name of the program that did; HostError with what it says otherwise."""
    name = next((name for name in PUSHERS if shutil.which(name)), None)
    if name is None:
        raise HostError("there is no program that pushes images", hint=_explain(layout, reference, insecure))
    said = ""
    for command in build_commands(name, layout, reference, insecure=insecure):
        said = _run([said if word == PULLED else word for word in command])
    return name


def build_commands(name: str, layout: Path, reference: str, *, insecure: bool) -> list[list[str]]:
    """Give the commands by which a program pushes a layout."""
    pusher = PUSHERS[name]
    words = {"layout": str(layout), "tag": TAG, "reference": reference, "source": f"oci:{layout}:{TAG}"}
    commands = [[word.format(**words) for word in command] for command in pusher.commands]
    if insecure:
        commands[-1].insert(2, pusher.insecure)
    return commands


def _explain(layout: Path, reference: str, insecure: bool) -> str:
    lines = [
        " && ".join(shlex.join(c) for c in build_commands(name, layout, reference, insecure=insecure))
        for name in PUSHERS
    ]
    return "install one of them, or run this where one is:\n" + "\n".join(f"    {line}" for line in lines)


def _run(command: list[str]) -> str:
    """Run a command and give the last line it prints; HostError with what it says when it fails."""
    outcome = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if outcome.returncode != 0:
        said = (outcome.stderr or outcome.stdout).strip()[-2000:]
        raise HostError(f"{shlex.join(command)} failed:\n{said}")
    return (outcome.stdout.strip().splitlines() or [""])[-1]

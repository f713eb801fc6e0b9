"""Pushes an OCI layout to a registry with whichever tool for that is installed; credentials are the tool's own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freepage.errors import HostError
from freepage.image.oci import TAG, read_image

if TYPE_CHECKING:
    from pathlib import Path

    from freepage.image.reference import Reference

PULLED = "IMAGE-ID"
_HINT = "log in with {program} itself; --insecure takes a registry without TLS or a valid certificate"


@dataclass(frozen=True)
class Pusher:
    """A program that pushes: its commands, PULLED in one of them stands for the last line the one before has printed.

    insecure: the option that takes a registry without a valid certificate. repacks: whether it compresses the layers
    again; it then prints the digest that has become of it.
    """

    commands: tuple[tuple[str, ...], ...]
    insecure: str
    repacks: bool = False


@dataclass(frozen=True)
class Pushed:
    """An image that was pushed, and the program that did it."""

    program: str
    digest: str


# By program, the best first. The policy of skopeo's that is left aside is about what is read: our own layout, unsigned.
PUSHERS = {
    "skopeo": Pusher(
        (("skopeo", "copy", "--insecure-policy", "{source}", "docker://{reference}"),),
        "--dest-tls-verify=false",
    ),
    "oras": Pusher((("oras", "cp", "--from-oci-layout", "{layout}:{tag}", "{reference}"),), "--to-insecure"),
    "crane": Pusher((("crane", "push", "{layout}", "{reference}"),), "--insecure"),
    "podman": Pusher(
        (
            ("podman", "pull", "--quiet", "{source}"),
            ("podman", "push", "--digestfile=/dev/stdout", PULLED, "{reference}"),
        ),
        "--tls-verify=false",
        repacks=True,
    ),
}


def push_image(layout: Path, reference: Reference, *, insecure: bool) -> Pushed:
    """Push the image of a layout with the first program there is; HostError with its output where that fails."""
    name = next((name for name in PUSHERS if shutil.which(name)), None)
    if name is None:
        raise HostError("there is no program that pushes images", hint=_explain(layout, reference, insecure))
    printed = ""
    for command in build_commands(name, layout, reference, insecure=insecure):
        printed = _run([printed if word == PULLED else word for word in command])
    return Pushed(name, printed if PUSHERS[name].repacks else read_image(layout).digest)


def build_commands(name: str, layout: Path, reference: Reference, *, insecure: bool) -> list[list[str]]:
    """Return the commands by which a program pushes a layout."""
    pusher = PUSHERS[name]
    words = {"layout": layout, "tag": TAG, "reference": reference, "source": f"oci:{layout}:{TAG}"}
    commands = [[word.format(**words) for word in command] for command in pusher.commands]
    if insecure:
        commands[-1].insert(2, pusher.insecure)
    return commands


def _explain(layout: Path, reference: Reference, insecure: bool) -> str:
    lines = [
        " && ".join(shlex.join(c) for c in build_commands(name, layout, reference, insecure=insecure))
        for name in PUSHERS
    ]
    return "install one of them, or run this where one is:\n" + "\n".join(f"    {line}" for line in lines)


def _run(command: list[str]) -> str:
    """Run a command and return the last line it prints; HostError with its output when it fails."""
    outcome = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if outcome.returncode != 0:
        output = (outcome.stderr or outcome.stdout).strip()[-2000:]
        raise HostError(f"{shlex.join(command)} failed:\n{output}", hint=_HINT.format(program=command[0]))
    return (outcome.stdout.strip().splitlines() or [""])[-1]

"""Print the least permissions that a command needs in a cluster, for kubectl apply -f -."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from freepage.kubevirt.permissions import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

USES = ("audit", "switch", "run")
_ACCOUNT = Template(
    "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: $name\n  namespace: $namespace\n"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Grant:
    """The manifests to print, and the user (None: the service account of the namespace) they permit it to."""

    uses: tuple[str, ...]
    user: str | None
    service_account: str
    namespace: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "use",
        choices=USES,
        metavar="audit|switch|run",
        help="audit: audit and status; switch: enable, disable, restore; run: run --target cluster, clean",
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", type=_user, metavar="NAME", help="permit it to this user")
    who.add_argument(
        "--service-account",
        type=_name,
        default="freepage",
        metavar="NAME",
        help="permit it to this service account of the namespace, made with it (default: freepage)",
    )
    parser.add_argument(
        "-n",
        "--namespace",
        type=_name,
        default="freepage",
        metavar="NAME",
        help="where the service account is and runs are (default: freepage)",
    )
    parser.add_argument(
        "--exec", action="store_true", help="with audit or switch: permit to ask libvirt as well (pods/exec)"
    )


def execute(options: argparse.Namespace) -> int:
    wanted = Grant(
        uses=(options.use, *(["exec"] if options.exec and options.use != "run" else [])),
        user=options.user,
        service_account=options.service_account,
        namespace=options.namespace,
    )
    print("---\n".join(_build(wanted)), end="")
    return 0


def _build(wanted: Grant) -> Iterator[str]:
    """Yield the manifests as YAML; every value in them is a JSON string, which no YAML takes for a number."""
    name, namespace = json.dumps(wanted.service_account), json.dumps(wanted.namespace)
    if wanted.user is None:
        subject = f"{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}"
        who = f"{wanted.namespace}:{wanted.service_account}"
        yield _ACCOUNT.substitute(name=name, namespace=namespace)
    else:
        subject = f"{{kind: User, apiGroup: rbac.authorization.k8s.io, name: {json.dumps(wanted.user)}}}"
        who = wanted.user
    for use in wanted.uses:
        # One binding for each subject, so that the next does not take it from the one before.
        binding = json.dumps(f"freepage-{use}:{re.sub('[/%]', '-', who)}")
        yield Template(read_manifest(use)).substitute(namespace=namespace, subject=subject, binding=binding)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name: lower-case letters, digits and '-', at most 63"
        )
    return text


def _user(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a user has a name")
    return text

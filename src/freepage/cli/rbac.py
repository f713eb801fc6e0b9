"""Print the least that a command needs to be permitted in a cluster, for kubectl apply -f -."""

from __future__ import annotations

import argparse
import json
import re
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = ("audit", "switch", "run")
_ACCOUNT = Template(
    "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: $name\n  namespace: $namespace\n"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "use",
        choices=COMMANDS,
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
    print("---\n".join(_build(options)), end="")
    return 0


def _build(options: argparse.Namespace) -> Iterator[str]:
    """Give the manifests, filled in, as YAML; whatever is filled in is a JSON string, which no YAML takes for a number."""
    name, namespace = json.dumps(options.service_account), json.dumps(options.namespace)
    if options.user is None:
        subject = f"{{kind: ServiceAccount, name: {name}, namespace: {namespace}}}"
        who = f"{options.namespace}:{options.service_account}"
        yield _ACCOUNT.substitute(name=name, namespace=namespace)
    else:
        subject = f"{{kind: User, apiGroup: rbac.authorization.k8s.io, name: {json.dumps(options.user)}}}"
        who = options.user
    for use in (options.use, *(["exec"] if options.exec and options.use != "run" else [])):
        # One binding for each of those it is permitted to, so that the next does not take it from the one before.
        binding = json.dumps(f"freepage-{use}:{re.sub('[/%]', '-', who)}")
        yield Template(_read(use)).substitute(namespace=namespace, subject=subject, binding=binding)


def _read(use: str) -> str:
    from importlib.resources import files

    return (files("freepage.kube") / "rbac" / f"{use}.yaml").read_text(encoding="utf-8")


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

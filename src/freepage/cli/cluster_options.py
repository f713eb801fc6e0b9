"""The options by which every command that speaks with a cluster gets in, and how its work is run."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from freepage.kube.api import ClusterApi, Login

T = TypeVar("T")


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "the cluster", "as kubectl finds it: KUBECONFIG, ~/.kube/config, or the pod's service account"
    )
    group.add_argument("--kubeconfig", metavar="FILE", help="another kubeconfig")
    group.add_argument("--context", metavar="NAME", help="another of its contexts")
    group.add_argument("-n", "--namespace", metavar="NAME", help="another namespace than the context's")
    group.add_argument(
        "--server", metavar="URL", help="the API server's address, without a kubeconfig; with --token-file"
    )
    group.add_argument("--token-file", metavar="FILE", help="a bearer token, read again when it changes")
    group.add_argument("--ca-file", metavar="FILE", help="the certificates that the server's is signed by")


def build_login(options: argparse.Namespace) -> Login:
    from freepage.kube.api import Login

    return Login(
        kubeconfig=options.kubeconfig,
        context=options.context,
        namespace=options.namespace,
        server=options.server,
        token_file=options.token_file,
        ca_file=options.ca_file,
    )


def run_in_cluster(
    options: argparse.Namespace, work: Callable[[ClusterApi], Awaitable[T]], *, manifest: str
) -> T:
    """Log in and do something; what is forbidden names the manifest that would permit it."""
    return asyncio.run(_run(options, work, manifest))


async def _run(options: argparse.Namespace, work: Callable[[ClusterApi], Awaitable[T]], manifest: str) -> T:
    from freepage.kube import api as cluster

    with naming_manifest(manifest):
        async with cluster.open_cluster(build_login(options)) as api:
            return await work(api)


@contextmanager
def naming_manifest(manifest: str) -> Iterator[None]:
    """Let what is forbidden in here name the manifest of this use."""
    from freepage.kube.errors import ForbiddenError

    try:
        yield
    except ForbiddenError as error:
        error.name_manifest(manifest)
        raise


def add_vm_argument(parser: argparse._ActionsContainer, help_text: str) -> None:
    parser.add_argument(
        "--vm", type=parse_vm, action="append", default=[], metavar="NAMESPACE/NAME", help=help_text
    )


def parse_vm(text: str) -> tuple[str, str]:
    """Read NAMESPACE/NAME."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME")
    return namespace, name


def count_vms(names: Sequence[str]) -> str:
    """Count VMs in words, and name the first few."""
    return f"{len(names)} VM{'' if len(names) == 1 else 's'} ({list_some(names)})"


def list_some(names: Iterable[str], most: int = 5) -> str:
    """Name the first few of many."""
    known = list(names)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more

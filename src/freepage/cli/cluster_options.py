"""The options by which every command logs in to a cluster, and the run of its work there."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from freepage.kube.api import open_cluster
from freepage.kube.errors import ForbiddenError
from freepage.kube.login import Login
from freepage.kubevirt.permissions import describe_grant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from freepage.kube.api import ClusterApi
    from freepage.kubevirt.vms import VmName

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
    return Login(
        kubeconfig=options.kubeconfig,
        context=options.context,
        namespace=options.namespace,
        server=options.server,
        token_file=options.token_file,
        ca_file=options.ca_file,
    )


def run_in_cluster(login: Login, work: Callable[[ClusterApi], Awaitable[T]], *, manifest: str) -> T:
    """Log in and await the work; what is forbidden names the manifest that permits it."""

    async def run() -> T:
        with naming_manifest(manifest):
            async with open_cluster(login) as api:
                return await work(api)

    return asyncio.run(run())


@contextmanager
def naming_manifest(manifest: str) -> Iterator[None]:
    """Have what is forbidden within name the manifest of this use; none permits what admission refuses."""
    try:
        yield
    except ForbiddenError as error:
        if error.denial is not None:
            error.hint = describe_grant(error.denial, manifest)
        raise


def add_vm_argument(parser: argparse._ActionsContainer, help_text: str) -> None:
    parser.add_argument(
        "--vm", type=parse_vm, action="append", default=[], metavar="NAMESPACE/NAME", help=help_text
    )


def parse_vm(text: str) -> VmName:
    """Read NAMESPACE/NAME."""
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME")
    return namespace, name

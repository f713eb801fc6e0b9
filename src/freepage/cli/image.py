"""Build the image that a cluster's VMs and pods start from, and push it to a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from freepage.image.oci import Needs

DEFAULT_LAYOUT = "freepage-image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="write it to a folder, as an OCI layout")
    build.add_argument("--out", metavar="DIR", default=DEFAULT_LAYOUT, help=f"the folder ({DEFAULT_LAYOUT})")
    build.add_argument("--study", metavar="STUDY", help="carry what this study's programs and folders need")
    build.add_argument("--kernel", metavar="PATH", help="another guest kernel (a bzImage or Image)")
    push = actions.add_parser("push", help="push it with skopeo, crane, oras or podman")
    push.add_argument("reference", metavar="REF", help="where to, as quay.io/me/freepage:1")
    push.add_argument(
        "--layout", metavar="DIR", default=DEFAULT_LAYOUT, help=f"the folder ({DEFAULT_LAYOUT})"
    )
    push.add_argument(
        "--insecure", action="store_true", help="take a registry without TLS or a valid certificate"
    )


def execute(options: argparse.Namespace) -> int:
    return _build(options) if options.action == "build" else _push(options)


def _build(options: argparse.Namespace) -> int:
    from freepage.image.guest import build_guest, disk_modules
    from freepage.image.oci import write_image
    from freepage.image.tools import build_tools

    needs = _find_needs(options.study)
    modules = () if needs.tools is None else disk_modules(*needs.filesystems)
    guest = build_guest(Path(options.kernel) if options.kernel else None, modules)
    tools = None if needs.tools is None else build_tools(needs.tools)
    layout = Path(options.out)
    digest = write_image(layout, guest, tools)
    print(f"{layout}: {digest}")
    print(f"Linux {guest.kernel_version}, {_describe(needs)}")
    print(f"next: freepage image push REF{'' if options.out == DEFAULT_LAYOUT else f' --layout {layout}'}")
    return 0


def _find_needs(study: str | None) -> Needs:
    from freepage.image.oci import find_needs

    if study is None:
        return find_needs([])
    from freepage.facts import read_host_facts
    from freepage.run import Request, prepare

    # At the smallest scale: what instances need does not depend on their size, and any host has room for it.
    request = Request(study=study, scale=0.01)
    prepared = prepare(request, "tcg", read_host_facts(), nodes_are_given=True)
    return find_needs([instance for trial in prepared.trials for instance in trial.instances])


def _describe(needs: Needs) -> str:
    if needs.tools is None:
        return "the worker, no programs"
    folder = [] if needs.tools.folder is None else [f"the folder {needs.tools.folder}"]
    return ", ".join(["the worker", *needs.tools.programs, *folder])


def _push(options: argparse.Namespace) -> int:
    from freepage.image.oci import read_digest
    from freepage.image.push import push_image

    layout = Path(options.layout)
    digest = read_digest(layout)
    reference = options.reference.removeprefix("docker://")
    program = push_image(layout, reference, insecure=options.insecure)
    print(f"{reference}: {digest} (pushed by {program})")
    print(f"next: freepage run STUDY --target cluster --image {reference}")
    return 0

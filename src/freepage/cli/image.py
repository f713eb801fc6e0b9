"""Build the image that a cluster's VMs and pods start from, and push it to a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cache import cache_folder
from freepage.image.guest import build_guest, disk_modules
from freepage.image.kernel import find_kernel
from freepage.image.oci import read_image, write_image
from freepage.image.push import push_image
from freepage.image.reference import parse_reference
from freepage.image.tools import build_tools
from freepage.units import format_bytes

if TYPE_CHECKING:
    import argparse

    from freepage.image.oci import Image
    from freepage.image.requirements import Requirements
    from freepage.study.plan import InstancePlan

DEFAULT_LAYOUT = "freepage-image"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="write it to a folder, as an OCI layout")
    build.add_argument("--out", metavar="DIR", default=DEFAULT_LAYOUT, help=f"the folder ({DEFAULT_LAYOUT})")
    build.add_argument(
        "--study",
        nargs="+",
        action="extend",
        default=[],
        metavar="STUDY",
        help="carry the programs and the folder of these studies too",
    )
    build.add_argument("--kernel", metavar="PATH", help="another guest kernel (a bzImage or Image)")
    build.add_argument("--force", action="store_true", help="replace an image of somebody else's in DIR")
    push = actions.add_parser("push", help="push it with skopeo, oras, crane or podman")
    push.add_argument("reference", metavar="REF", help="where to, as quay.io/me/freepage:1")
    push.add_argument(
        "--layout", metavar="DIR", help=f"the folder ({DEFAULT_LAYOUT}, or one that is built for this)"
    )
    push.add_argument(
        "--insecure", action="store_true", help="take a registry without TLS or a valid certificate"
    )


def execute(options: argparse.Namespace) -> int:
    return _execute_build(options) if options.action == "build" else _execute_push(options)


def _execute_build(options: argparse.Namespace) -> int:
    kernel = Path(options.kernel) if options.kernel else None
    _build(Path(options.out), options.study, kernel, force=options.force)
    chosen = "" if options.out == DEFAULT_LAYOUT else f" --layout {options.out}"
    print(f"next: freepage image push REF{chosen}")
    return 0


def _execute_push(options: argparse.Namespace) -> int:
    reference = parse_reference(options.reference)
    pushed = push_image(_find_layout(options.layout), reference, insecure=options.insecure)
    print(f"pushed by {pushed.program}: {reference.pin(pushed.digest)}")
    print(f"next: freepage run STUDY --target cluster --image {reference}")
    return 0


def _find_layout(chosen: str | None) -> Path:
    """Return the layout to push: the one chosen, the one in this folder, or else a new one in the cache."""
    layout = Path(chosen or DEFAULT_LAYOUT)
    if chosen is None and not layout.exists():
        layout = cache_folder() / DEFAULT_LAYOUT
        _build(layout, [], None, force=True)
    read_image(layout)
    return layout


def _build(layout: Path, studies: list[str], kernel_image: Path | None, *, force: bool) -> None:
    """Write the image and print what it holds."""
    # This loads pydantic, which pushing does without.
    from freepage.image.requirements import find_requirements

    kernel = find_kernel(kernel_image)
    required = find_requirements([instance for study in studies for instance in _plan(study)], kernel)
    guest = build_guest(kernel.image, disk_modules(*required.filesystems))
    image = write_image(layout, guest, build_tools(required.tools), force=force)
    _print_image(layout, image, f"Linux {guest.kernel_version}", required)


def _plan(study: str) -> list[InstancePlan]:
    """Plan a study's instances as for a smoke run: what they need does not depend on their size."""
    # This loads pydantic, which pushing does without.
    from freepage.study.request import RunRequest, plan_run
    from freepage.targets.local.facts import read_host_facts

    run_plan = plan_run(RunRequest(study=study, smoke=True), "tcg", read_host_facts(), nodes_are_given=True)
    return [instance for trial in run_plan.trials for instance in trial.instances]


def _print_image(layout: Path, image: Image, system: str, required: Requirements) -> None:
    folder = [] if required.tools.folder is None else [f"the folder {required.tools.folder}"]
    sizes = " + ".join(format_bytes(size) for size in image.layers_bytes)
    print(f"{layout}: {image.digest}")
    print(f"{system}, {', '.join([*required.tools.programs, *folder])}")
    for reason in required.missing:
        print(f"left out: {reason}")
    print(f"layers: {sizes} = {format_bytes(sum(image.layers_bytes))}")

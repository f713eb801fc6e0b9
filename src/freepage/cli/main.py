"""The command line: one small file per command."""

from __future__ import annotations

import argparse
import sys

from freepage import __version__
from freepage.cli import (
    audit,
    clean,
    disable,
    enable,
    image,
    plan,
    prometheus,
    rbac,
    report,
    restore,
    run,
    show,
    status,
    studies,
)
from freepage.errors import FreepageError

COMMANDS = {
    "run": run,
    "plan": plan,
    "report": report,
    "show": show,
    "studies": studies,
    "audit": audit,
    "status": status,
    "enable": enable,
    "disable": disable,
    "restore": restore,
    "clean": clean,
    "image": image,
    "prometheus": prometheus,
    "rbac": rbac,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and give its exit status."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    options.command_line = ("freepage", *(arguments if arguments is not None else sys.argv[1:]))
    try:
        return int(COMMANDS[options.command].execute(options))
    except FreepageError as error:
        print(f"freepage: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except KeyboardInterrupt:
        return 130


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="freepage",
        description="Measure what Free Page Reporting gives back to a host that runs virtual machines, and what it costs.",
        epilog="Start with: freepage run quick --out quick-run",
    )
    parser.add_argument("--version", action="version", version=f"freepage {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        doc = (module.__doc__ or "").strip()
        summary = doc[:1].lower() + doc[1:].removesuffix(".")
        module.add_arguments(commands.add_parser(name, help=summary, description=doc))
    return parser


if __name__ == "__main__":
    sys.exit(main())

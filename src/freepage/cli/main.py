"""The command line: one module per command, imported when its command is chosen."""

from __future__ import annotations

import argparse
import importlib
import io
import re
import sys
from dataclasses import dataclass

from freepage import __version__
from freepage.errors import FreepageError
from freepage.report.printable import printable_lines

MEASURE = "measure"
LOOK_BACK = "look back at a run"
FORECAST = "before FPR is switched on"
CLUSTERS = "clusters with KubeVirt"


@dataclass(frozen=True)
class Command:
    """One command: the module with its add_arguments and execute, the group it is shown in, and one line of help."""

    module: str
    group: str
    summary: str


# Modules by name, so that help and one command do not load the libraries of all (docs/decisions/001-dependencies.md).
COMMANDS = {
    "run": Command("freepage.cli.run", MEASURE, "run a study and report on it"),
    "plan": Command("freepage.cli.plan", MEASURE, "show what a study would run; starts nothing"),
    "studies": Command("freepage.cli.studies", MEASURE, "list the built-in studies, or print one"),
    "show": Command("freepage.cli.show", LOOK_BACK, "show a stored run in the terminal"),
    "report": Command(
        "freepage.cli.report", LOOK_BACK, "write its report again: html, md, json, csv, svg, png"
    ),
    "compare": Command("freepage.cli.compare", LOOK_BACK, "compare runs: what is better, worse or the same"),
    "gate": Command("freepage.cli.gate", LOOK_BACK, "hold a run against rules, for CI: exit 0, 1 or 2"),
    "prometheus": Command("freepage.cli.prometheus", LOOK_BACK, "add what a Prometheus has of the run"),
    "forecast": Command(
        "freepage.cli.forecast", FORECAST, "what VMs would hold with FPR, by traces without it"
    ),
    "status": Command(
        "freepage.cli.status", CLUSTERS, "show where FPR is set, and what freepage has changed"
    ),
    "audit": Command("freepage.cli.audit", CLUSTERS, "show for every VM whether FPR is on, and why not"),
    "enable": Command("freepage.cli.enable", CLUSTERS, "enable FPR for the cluster or single VMs"),
    "disable": Command("freepage.cli.disable", CLUSTERS, "disable FPR for the cluster or single VMs"),
    "restore": Command("freepage.cli.restore", CLUSTERS, "put back what enable and disable have changed"),
    "image": Command(
        "freepage.cli.image", CLUSTERS, "build the image that VMs and pods start from, and push it"
    ),
    "rbac": Command("freepage.cli.rbac", CLUSTERS, "print the permissions that a command needs"),
    "clean": Command("freepage.cli.clean", CLUSTERS, "remove what runs have left in a namespace"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    _accept_any_character()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        _build_parser().print_help()
        return 0
    if given[0] not in COMMANDS:
        parser = _build_parser()
        # --help and --version end here, and so does a command that does not exist.
        parser.parse_args(given)
        parser.error("the command comes first")
    try:
        return _run_command(given[0], given)
    except FreepageError as error:
        print(printable_lines(f"freepage: {error.message}"), file=sys.stderr)
        if error.hint:
            print(printable_lines(f"  hint: {error.hint}"), file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except KeyboardInterrupt:
        return 130


def _accept_any_character() -> None:
    """Have what the output's encoding lacks written as its escape, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run_command(name: str, given: list[str]) -> int:
    module = importlib.import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser(prog=f"freepage {name}", description=module.__doc__)
    module.add_arguments(parser)
    options = parser.parse_args(given[1:])
    options.command_line = redact_command(given)
    return int(module.execute(options))


def redact_command(arguments: list[str]) -> tuple[str, ...]:
    """Return the command as a run folder may keep it: without the user and password of an address."""
    return ("freepage", *(re.sub(r"(?<=://)[^/?#]*@", "", a) for a in arguments))


def _build_parser() -> argparse.ArgumentParser:
    """Build the parser of what comes before a command: it shows all commands, and loads none."""
    parser = argparse.ArgumentParser(
        prog="freepage",
        usage="freepage COMMAND [OPTION ...]",
        description=(
            "Measure what Free Page Reporting gives back to a host that runs virtual machines, and what it costs.\n\n"
            + _list_commands()
        ),
        epilog=(
            "Options of a command: freepage COMMAND --help\nStart with: freepage run quick --out quick-run"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"freepage {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _list_commands() -> str:
    """Return all commands by group, each with its line of help."""
    groups = dict.fromkeys(command.group for command in COMMANDS.values())
    return "\n\n".join(
        "\n".join([f"{group}:", *(f"  {n:11} {c.summary}" for n, c in COMMANDS.items() if c.group == group)])
        for group in groups
    )


if __name__ == "__main__":
    sys.exit(main())

"""Hold a run against rules: exit status 0 where it passes, 1 where it is worse, 2 where it cannot be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from freepage.cli.compare_options import add_across_argument
from freepage.cli.written import write_text

if TYPE_CHECKING:
    import argparse

    from freepage.analysis.compare.gate import GateResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="the folder of the run to judge")
    parser.add_argument("--baseline", type=Path, metavar="RUN", help="the folder of the run to compare with")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="the rules (TOML); --example prints some")
    add_across_argument(parser)
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write JUnit XML, a test case for each rule"
    )
    parser.add_argument("--format", choices=("json",), help="print JSON")
    parser.add_argument("--example", action="store_true", help="print a file of rules, and do nothing else")


def execute(options: argparse.Namespace) -> int:
    from freepage.analysis.compare.rules import EXAMPLE

    if options.example:
        print(EXAMPLE, end="")
        return 0
    result = judge_run(options)
    if options.junit:
        from freepage.report.gate import render_junit

        write_text(options.junit, render_junit(result))
    show_gate(result, options.format)
    return result.exit_status


def judge_run(options: argparse.Namespace) -> GateResult:
    """Hold the run against the rules; RulesError for rules that are wrong, UnlikeRunsError for unlike runs."""
    from freepage.analysis.compare.conditions import parse_across
    from freepage.analysis.compare.gate import judge
    from freepage.analysis.compare.rules import RulesError, read_rules
    from freepage.store import load_run

    if options.run is None or options.rules is None:
        missing = "RUN" if options.run is None else "--rules"
        raise RulesError(f"{missing} is missing", hint="freepage gate RUN --baseline RUN --rules FILE")
    rules = read_rules(options.rules)
    return judge(
        rules,
        str(options.rules),
        load_run(options.run),
        load_run(options.baseline) if options.baseline else None,
        across=parse_across(options.across) if options.across else (),
    )


def show_gate(result: GateResult, kind: str | None) -> None:
    from freepage.report.gate import print_gate

    if kind == "json":
        print(json.dumps(result.as_json(), indent=1, allow_nan=False))
    else:
        print_gate(result)

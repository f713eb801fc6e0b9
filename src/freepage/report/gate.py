"""A gate's outcome in the terminal, and as JUnit XML for those who run it in CI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from rich.padding import Padding

from freepage.analysis.compare.gate import GateOutcome
from freepage.report.console import Terminal, words
from freepage.report.numbers import show_interval, show_value

if TYPE_CHECKING:
    from freepage.analysis.compare.gate import Check, GateResult, RuleResult

GATE_WORDS = {
    GateOutcome.PASSED: "passed",
    GateOutcome.FAILED: "failed",
    GateOutcome.CANNOT_TELL: "cannot tell",
}
_STYLES = {
    GateOutcome.PASSED: "bold green",
    GateOutcome.FAILED: "bold red",
    GateOutcome.CANNOT_TELL: "bold yellow",
}
# Characters that no XML may have, not even escaped (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def describe_checks(result: RuleResult) -> str:
    """Return what was found for one rule: every number with its interval, and why it cannot be told."""
    return "; ".join(_describe_check(check) for check in result.checks)


def _describe_check(check: Check) -> str:
    interval = show_interval(check.estimate)
    of = "against the baseline" if check.of_baseline else "here"
    shown = f"{of} {show_value(check.estimate)}" + (f" ({interval})" if interval else "")
    return f"{shown}: {check.reason}" if check.reason else shown


def print_gate(result: GateResult) -> None:
    """Print every rule with its outcome, and the gate's own."""
    console = Terminal()
    for note in (*result.unlike, *result.notes):
        console.print(Padding(words((note, "dim")), (0, 0, 0, 2)))
    for rule in result.rules:
        console.say((f"{GATE_WORDS[rule.outcome]:<12}", _STYLES[rule.outcome]), rule.rule.name)
        for text in (rule.rule.describe(), describe_checks(rule)):
            console.print(Padding(words((text, "dim")), (0, 0, 0, 12)))
    console.print(f"gate: {GATE_WORDS[result.outcome]}", style=_STYLES[result.outcome])


def render_junit(result: GateResult) -> str:
    """Return a gate as JUnit XML: a test case for each rule, skipped where it cannot be told."""
    counts = {o: sum(r.outcome is o for r in result.rules) for o in GateOutcome}
    totals = {
        "name": "freepage gate",
        "tests": str(len(result.rules)),
        "failures": str(counts[GateOutcome.FAILED]),
        "errors": "0",
        "skipped": str(counts[GateOutcome.CANNOT_TELL]),
    }
    root = Element("testsuites", totals)
    suite = SubElement(root, "testsuite", totals)
    for rule in result.rules:
        _add_case(suite, rule)
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _add_case(suite: Element, result: RuleResult) -> None:
    name, of = result.rule.name, f"freepage.{result.rule.experiment}"
    case = SubElement(suite, "testcase", {"name": _as_xml(name), "classname": _as_xml(of)})
    words = _as_xml(f"{result.rule.describe()}; {describe_checks(result)}")
    if result.outcome is GateOutcome.FAILED:
        SubElement(case, "failure", {"message": words, "type": "worse"}).text = words
    elif result.outcome is GateOutcome.CANNOT_TELL:
        SubElement(case, "skipped", {"message": f"cannot tell: {words}"})
    else:
        SubElement(case, "system-out").text = words


def _as_xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)

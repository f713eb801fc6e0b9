"""Rules of a gate as people write them, and as they write them wrongly."""

from __future__ import annotations

import pytest

from freepage.analysis.bounds import Bounds
from freepage.analysis.compare.rules import EXAMPLE, RulesError, parse_rules


def rule(**keys):
    lines = {
        "experiment": '"cycle"',
        "arm": '"vm-fpr"',
        "number": '"alloc_rest_s"',
        "at_most_ratio": "1.1",
    } | keys
    return "# mine\n[[rule]]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items() if value)


def test_the_example_is_a_file_of_rules():
    rules = parse_rules(EXAMPLE, "example")
    assert len(rules) == 4
    assert rules[0].ratio == Bounds(at_most=1.1)
    assert rules[3].absolute == Bounds(at_least=0.8)


def test_bounds_take_sizes_times_and_percentages():
    size = rule(number='"node_in_use_mean_bytes"', at_most_ratio="", at_most='"300MiB"')
    assert parse_rules(size, "r")[0].absolute == Bounds(at_most=300 * 2**20)
    time = rule(at_most_ratio="", at_most='"250ms"')
    assert parse_rules(time, "r")[0].absolute == Bounds(at_most=0.25)
    share = rule(number='"given_back_fraction"', at_most_ratio="", at_least_change='"-5 %"'.replace("-", ""))
    assert parse_rules(share, "r")[0].change == Bounds(at_least=0.05)


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        (rule(number='"aloc_rest_s"'), "r, line 5: there is no number 'aloc_rest_s'", "'alloc_rest_s'"),
        (rule(arm='"vm-frp"'), "r, line 4: there is no arm 'vm-frp'", "'vm-fpr'"),
        (rule(arm=""), "alloc_rest_s is of an arm", "pod"),
        (rule(number='"io_ratio"'), "line 4: io_ratio compares arms", None),
        (rule(at_most_raito="1"), "line 7: unknown key 'at_most_raito'", "'at_most_ratio'"),
        (rule(at_most_ratio=""), "line 2: the rule has no bound", None),
        (rule(at_most_ratio="true"), "line 6: at_most_ratio = True is no number", None),
        (rule(at_most_ratio="nan"), "line 6: at_most_ratio = nan is no number", None),
        (rule(at_most='"3 parsecs"'), "line 7: at_most: '3 parsecs' is not a duration", None),
        (rule(number='"given_back_fraction"'), "may be 0, so it has no ratio", None),
        (rule(at_most_change="1"), "is compared by its ratio", None),
        (rule(experiment=""), "experiment is missing", None),
        (rule(experiment="7"), "experiment = 7 is no text", None),
        ("x = ", "r is not TOML", None),
        ("rule = 3", "r: it has no [[rule]]", "--example"),
        ("rule = [3]", "r: it has no [[rule]]", "--example"),
        ("rules = 3", "unknown key 'rules'", "--example"),
        ("", "r: it has no [[rule]]", "--example"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_line_and_what_was_meant(text, words, hint):
    with pytest.raises(RulesError) as refused:
        parse_rules(text, "r")
    assert words in refused.value.message
    assert refused.value.exit_status == 6
    if hint is not None:
        assert hint in refused.value.hint

"""The file of a fleet: what it says, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from freepage.errors import FreepageError
from freepage.forecast.fleet import Case, Distribution, Lognormal, Quantiles, Replay, Schedule, Steps, Window
from freepage.forecast.fleets.read import parse_fleet, read_fleet
from freepage.fpr.footprint import OVERHEAD_RANGE_BYTES
from freepage.units import GIB, MIB

EXAMPLE = Path(__file__).parents[3] / "docs/examples/fleet.toml"
FLEET = """title = "a fleet"
[[node]]
memory = "16GiB"
reserved = "1GiB"
overcommit = "150%"

[[vm]]
name = "build"
kind = "schedule"
memory = "4GiB"
base = "300MiB"
size = "256MiB,1GiB,256MiB"
hold = "20s,60s,10s"
idle = "30s"
processes = 2

[[vm]]
name = "web"
kind = "lognormal"
memory = "4GiB"
base = "300MiB"
median = "500MiB"
p95 = "1GiB"
correlation = "10min"
"""
TRACE = "time,resident,total,free_huge,free_small\n" + "".join(
    f"{t},{(2.5 if t < 300 else 3) * GIB:.0f},{4 * GIB},1024,655360\n" for t in range(0, 601, 30)
)


def read(tmp_path, text):
    (tmp_path / "fleet.toml").write_text(text)
    return read_fleet(tmp_path / "fleet.toml")


def complaint(text):
    with pytest.raises(FreepageError) as refused:
        parse_fleet(text, "fleet.toml")
    return str(refused.value)


def test_kinds_nodes_and_hours_are_read_in_bytes_and_seconds(tmp_path):
    fleet = read(tmp_path, FLEET)
    build, web = fleet.kinds
    assert fleet.window == Window(3600, 25 * 3600)
    assert (fleet.nodes[0].usable_bytes, fleet.nodes[0].overcommit) == (15 * GIB, 1.5)
    assert build.demand == Schedule(Steps(256 * MIB, GIB, 256 * MIB), Steps(20, 60, 10), Steps(30, 30, 30), 2)
    assert (build.base_bytes, build.overhead_bytes, build.count) == (300 * MIB, OVERHEAD_RANGE_BYTES[1], 0)
    assert isinstance(web.demand, Distribution)
    assert web.demand.values == Lognormal(500 * MIB, pytest.approx(0.4357, rel=1e-3))


def test_the_example_is_a_fleet():
    fleet = read_fleet(EXAMPLE)
    assert [kind.name for kind in fleet.kinds] == ["build", "web"]
    assert fleet.kinds[0].cache_bytes_per_s == pytest.approx(GIB / 3600)
    assert fleet.kinds[0].stranded_fraction == 0.1


@pytest.mark.parametrize(
    ("keys", "values"),
    [
        ('kind = "uniform"\nmin = "1GiB"\nmax = "2GiB"', Quantiles((1.0 * GIB, 2.0 * GIB))),
        ('kind = "quantiles"\nquantiles = ["0", "1GiB", "3GiB"]', Quantiles((0.0, 1.0 * GIB, 3.0 * GIB))),
    ],
    ids=["uniform", "quantiles"],
)
def test_distributions_are_read_by_their_kind(tmp_path, keys, values):
    head, tail = FLEET.split('kind = "lognormal"')
    text = head + keys + tail.replace('median = "500MiB"\np95 = "1GiB"\n', "")
    assert read(tmp_path, text).kinds[1].demand.values == values


def test_a_trace_is_taken_as_seen_from_the_file(tmp_path):
    (tmp_path / "db.csv").write_text(TRACE)
    fleet = read(tmp_path, FLEET + '[[vm]]\nname = "db"\nkind = "trace"\nmemory = "4GiB"\ntrace = "db.csv"\n')
    kind = fleet.kinds[2]
    assert isinstance(kind.demand, Replay)
    assert kind.demand.levels[Case.IDEAL].max() == pytest.approx(1.5 * GIB)
    assert kind.cases == tuple(Case)


def test_a_guests_memory_stands_in_for_the_column_that_its_trace_lacks(tmp_path):
    rows = [line.split(",") for line in TRACE.splitlines()]
    (tmp_path / "db.csv").write_text("".join(",".join((*r[:2], *r[3:])) + "\n" for r in rows))
    fleet = read(tmp_path, FLEET + '[[vm]]\nname = "db"\nkind = "trace"\nmemory = "4GiB"\ntrace = "db.csv"\n')
    assert fleet.kinds[2].demand.levels[Case.IDEAL].max() == pytest.approx(1.5 * GIB)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('memory = "16GiB"\n', "", "fleet.toml, line 2: 'memory' is missing"),
        ('reserved = "1GiB"', 'reserved = "17GiB"', "line 2: a node reserves less than its memory"),
        (
            'reserved = "1GiB"',
            'reserve = "1GiB"',
            "line 4: unknown key 'reserve'\nhint: did you mean 'reserved'?",
        ),
        ('overcommit = "150%"', 'overcommit = "5%"', "line 5: overcommit = '5%'"),
        ('overcommit = "150%"', "overcommit = 1.5", "line 5: overcommit = 1.5: 1.5 is not a percentage"),
        (
            'kind = "schedule"',
            'kind = "scedule"',
            "line 7: each [[vm]] needs a kind: 'schedule', 'lognormal'",
        ),
        ('kind = "schedule"\n', "", "line 7: each [[vm]] needs a kind"),
        ('base = "300MiB"\nsize', "size", "line 7: 'base' is missing"),
        ('hold = "20s,60s,10s"', 'hold = "20s,60s"', "line 13: hold"),
        (
            'hold = "20s,60s,10s"',
            'hold = "60s,20s,10s"',
            "line 13: hold: the range's min is greater than its max",
        ),
        ('size = "256MiB,1GiB,256MiB"', 'size = "25%"', "line 7: a share of the node is no size of a VM"),
        (
            'size = "256MiB,1GiB,256MiB"',
            'size = "2GiB"',
            "line 7: its base and what it uses beside it need 4.29 GiB",
        ),
        ('hold = "20s,60s,10s"\nidle = "30s"', 'hold = "100ms"\nidle = "200ms"', "less than a second"),
        ("processes = 2", "processes = 0", "line 15: processes = 0"),
        ("processes = 2", "median = 2", "line 15: unknown key 'median'"),
        ('p95 = "1GiB"', 'p95 = "400MiB"', "line 17: the median is above 0 and below p95"),
        ('p95 = "1GiB"', "p95 = 1", "line 23: p95 = 1: 1 is not a size"),
        ('correlation = "10min"', 'correlation = "0s"', "line 24: correlation"),
        (
            'correlation = "10min"',
            'correlation = "10min"\ncache_per_hour = "1GiB"',
            "line 17: cache_per_hour is how fast",
        ),
        ('name = "web"', 'name = "build"', "two kinds of VMs are called 'build'"),
        ('title = "a fleet"', "title = ", "fleet.toml is not TOML: Invalid value (at line 1, column 9)"),
        ('title = "a fleet"', "hours = 1000", "line 1: hours = 1000"),
        ('title = "a fleet"', "titel = 'x'", "line 1: unknown key 'titel'\nhint: did you mean 'title'?"),
        ('title = "a fleet"', "seed = -1", "line 1: seed = -1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(old, new, words):
    assert FLEET.count(old) >= 1
    assert words in complaint(FLEET.replace(old, new, 1))


def test_a_fleet_without_vms_is_refused():
    assert "'vm' is missing" in complaint('[[node]]\nmemory = "1GiB"\n')


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(FreepageError, match=r"cannot read .*nowhere\.toml"):
        read_fleet(tmp_path / "nowhere.toml")


def test_a_guest_smaller_than_what_its_trace_uses_is_refused_with_its_line(tmp_path):
    (tmp_path / "db.csv").write_text(TRACE)
    text = FLEET + '[[vm]]\nname = "db"\nkind = "trace"\nmemory = "1GiB"\ntrace = "db.csv"\n'
    line = text.count("\n", 0, text.rindex("[[vm]]")) + 1
    with pytest.raises(
        FreepageError, match=f"line {line}: its trace uses up to 1.50 GiB; the guest has 1.00 GiB"
    ):
        read(tmp_path, text)

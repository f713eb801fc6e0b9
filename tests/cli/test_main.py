"""The command line as a whole: its help, what a command loads, and what is refused before anything starts."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from freepage.cli.main import COMMANDS, main, redact_command

TINY = """name = "tiny"
[[experiment]]
kind = "cycle"
size = "64MiB"
slot = "1s"
hold = "1s"
idle = "4s"
iterations = 2
"""


def run(capsys, *arguments):
    """Run the command line and give its status, output and errors."""
    try:
        status = main(list(arguments))
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


HEAVY = (
    "polars",
    "altair",
    "scipy",
    "numpy",
    "jinja2",
    "rich",
    "pydantic",
    "httpx",
    "wsproto",
    "yaml",
    "vl_convert",
)


def load(*arguments):
    """Run a command in a Python of its own; return the heavy libraries and the modules of commands it has loaded."""
    code = (
        "import sys, contextlib, io\n"
        "from freepage.cli.main import COMMANDS, main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try:\n"
        "        main(sys.argv[1:])\n"
        "    except SystemExit:\n"
        "        pass\n"
        f"print(*(m for m in {HEAVY} if m in sys.modules))\n"
        "print(*(name for name, c in COMMANDS.items() if c.module in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    libraries, commands = done.stdout.split("\n")[:2]
    return set(libraries.split()), set(commands.split())


@pytest.mark.parametrize("arguments", [(), ("--help",)], ids=["bare", "--help"])
def test_help_shows_every_command_under_what_people_come_for(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    groups = ["measure:", "look back at a run:", "before FPR is switched on:", "clusters with KubeVirt:"]
    assert [line for line in out.splitlines() if line in groups] == groups
    shown = [
        line.split()[0] for line in out.splitlines() if line.startswith("  ") and "-" not in line.split()[0]
    ]
    assert shown == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_module_that_describes_itself(capsys, name):
    status, out, _ = run(capsys, name, "--help")
    assert status == 0
    assert out.startswith(f"usage: freepage {name} ")
    assert importlib.import_module(COMMANDS[name].module).__doc__.split(".")[0].split()[0] in out


def test_help_loads_no_command():
    assert load("--help") == (set(), set())


@pytest.mark.parametrize(
    ("arguments", "commands", "allowed"),
    [
        (("studies",), {"studies"}, {"pydantic"}),
        (("plan", "quick", "--accel", "tcg"), {"plan"}, {"pydantic", "scipy", "numpy"}),
        (("rbac", "audit"), {"rbac"}, set()),
        (("audit", "OBJECTS"), {"audit"}, {"rich"}),
        (("status", "--server", "http://127.0.0.1:9"), {"status"}, {"httpx"}),
        (("disable", "--help"), {"disable"}, set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_loads_only_the_libraries_it_needs(tmp_path, arguments, commands, allowed):
    (tmp_path / "objects.json").write_text('{"kind": "List", "items": []}')
    arguments = [a.replace("OBJECTS", str(tmp_path / "objects.json")) for a in arguments]
    libraries, loaded = load(*arguments)
    assert loaded == commands
    assert libraries <= allowed


def test_the_command_that_a_run_folder_keeps_has_no_password():
    kept = redact_command(["run", "quick", "--prometheus=https://me:p4ss@metrics.example:9090/api"])
    assert kept == ("freepage", "run", "quick", "--prometheus=https://metrics.example:9090/api")
    assert redact_command(["run", "quick", "--out", "a@b", "http://h/x@y"])[3:] == (
        "--out",
        "a@b",
        "http://h/x@y",
    )


def test_studies_lists_what_is_built_in_and_prints_one_to_copy(capsys):
    status, out, _ = run(capsys, "studies")
    assert status == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["aa", "article", "burst", "churn", "cycle", "guest-io", "host-io", "quick", "random"]
    assert run(capsys, "studies", "cycle")[1].startswith("# The article's first test")


def test_plan_shows_trials_schedules_memory_and_time(capsys, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    status, out, _ = run(capsys, "plan", str(tmp_path / "tiny.toml"), "--accel", "tcg", "--repeats", "2")
    assert status == 0
    assert "9 trials, about" in out
    assert out.count("warm-up, not counted") == 3
    assert "  2 repeats decide nothing; 5 do" in out
    assert "schedules of repeat 1" in out
    assert "each repeat draws its own" in out
    assert "a 64.0 MiB @0, f @2, a 64.0 MiB @6, f @8" in out
    assert "available" in out


def test_plan_shows_what_runs_instead_of_what_and_what_more_time_would_add(capsys):
    status, out, _ = run(capsys, "plan", "random", "--accel", "tcg", "--time", "20min", "--memory", "6GiB")
    assert status == 0
    assert "fitted into 20 min (--time) and 6.00 GiB (--memory)" in out
    assert "random: 10 VMs of " in out
    assert "instead of 10 VMs of 8.00 GiB for 30 min" in out
    assert "5 repeats of every experiment, which confirm and contradict" in out


def test_plan_names_the_claims_that_its_schedules_cannot_decide(capsys):
    _, out, _ = run(capsys, "plan", "cycle", "--accel", "tcg", "--set", "cycle.idle=4s", "--scale", "0.01")
    assert "closely tracks a pod's. Not decidable at this scale: memory is used again so soon" in out
    _, out, _ = run(capsys, "plan", "cycle", "--accel", "tcg", "--scale", "0.01")
    assert "Not decidable" not in out


def test_plan_and_dry_run_write_and_start_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "plan", "quick", "--accel", "tcg")[0] == 0
    assert run(capsys, "run", "quick", "--accel", "tcg", "--dry-run")[0] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("plan", "quik"), 2, "there is no study 'quik'"),
        (("plan", "quick", "--set", "cycle.hodl=3s"), 2, "did you mean 'hold'?"),
        (("plan", "cycle", "--scale", "50"), 3, "--scale"),
        (("plan", "quick", "--arms", "vm,wm"), 2, "pod, vm, vm-fpr"),
        (("plan", "quick", "--scale", "0"), 2, "greater than 0"),
        (("plan", "quick", "--time", "soon"), 2, "a duration such as 90s"),
        (("plan", "quick", "--time", "0min"), 2, "is no time"),
        (("plan", "article", "--time", "1min", "--accel", "tcg"), 3, "min works"),
        (("plan", "quick", "--memory", "9000TiB"), 3, "available"),
        (("plan", "random", "--memory", "99MiB"), 3, "at its smallest"),
        (("plan", "quick", "--scale", "1", "--memory", "1GiB"), 2, "--memory would choose"),
        (("plan", "quick", "--smoke", "--time", "9min"), 2, "--time has no part"),
        (("plan", "quick", "--repeats", "none"), 2, "not a count"),
        (("plan", "quick", "--node-memory", "8 parsecs"), 2, "512MiB"),
        (("plan", "quick", "--node-memory", "9000TiB"), 3, "available"),
        (("show", "/nowhere"), 5, "manifest.json is missing"),
        (("report", "/nowhere", "--format", "md"), 5, "manifest.json is missing"),
        (("rum", "quick"), 2, "invalid choice: 'rum'"),
        (("--", "run"), 2, "the command comes first"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong_and_a_status_of_its_own(capsys, arguments, status, words):
    found, _, err = run(capsys, *arguments)
    assert found == status
    assert words in err
    assert "Traceback" not in err


def test_a_folder_that_is_not_empty_is_refused_before_anything_starts(capsys, tmp_path):
    (tmp_path / "notes").write_text("mine")
    found, _, err = run(capsys, "run", "quick", "--out", str(tmp_path))
    assert found == 5
    assert "not empty" in err
    assert "--force" in err
    assert (tmp_path / "notes").read_text() == "mine"


def test_another_schema_is_refused(capsys, tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": 99}))
    found, _, err = run(capsys, "show", str(tmp_path))
    assert found == 5
    assert "schema 99" in err

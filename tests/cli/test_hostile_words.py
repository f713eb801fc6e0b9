"""Whatever a cluster, a server or a study says, commands print as words and nothing else."""

from __future__ import annotations

import io
import json
import re

import pytest

from freepage.cli.main import main
from freepage.cli.manifests import print_comments
from freepage.cli.progress import LiveProgress, PlainProgress
from freepage.errors import FreepageError
from freepage.kube.resources import VMIS, name_of
from freepage.records import TrialRecord, TrialStatus
from freepage.report.console import Terminal
from freepage.study.plan import plan_trials
from freepage.study.read import builtin_studies, parse_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB
from helpers.crashed_run import add_crashed_run
from helpers.fake_cluster import FakeCluster, serve
from helpers.hostile import HOSTILE, assert_harmless

# What a server could send: no half of a surrogate pair.
NAME = HOSTILE.replace("\ud800", "")


@pytest.fixture
def cluster():
    """A cluster whose names, users, versions, guests and logs are all hostile."""
    made = FakeCluster()
    made.user, made.server = NAME, NAME
    (kubevirt,) = made.objects["kubevirt.io", "kubevirts"].values()
    kubevirt["status"]["observedKubeVirtVersion"] = f"1.9 {NAME}"
    made.add_vm("shop", NAME, status={"guestOSInfo": {"id": NAME, "kernelRelease": NAME}})
    made.add_vm("shop", "db", status={"phase": NAME, "nodeName": NAME})
    launcher = made.add_launcher(made.peek(VMIS, "shop", "db"), NAME)
    made.logs["shop", name_of(launcher)] = NAME
    add_crashed_run(made, NAME)
    return made


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "audit",
        "audit -n bench",
        "disable --vm shop/db --restart",
        "disable --despite-running-vms",
        "disable",
        "restore --all",
        "clean --dry-run",
        "clean --all",
    ],
)
def test_no_word_of_a_cluster_is_more_than_a_word(cluster, monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "2000")  # A name that is wrapped is not what is looked for.
    serve(monkeypatch, cluster)
    main(command.split())
    said = capsys.readouterr()
    assert said.out + said.err
    assert_harmless(said.out)
    assert_harmless(said.err)


def test_no_word_of_an_error_is_more_than_a_word(monkeypatch, capsys):
    def fail(options):
        raise FreepageError(HOSTILE, hint=HOSTILE)

    monkeypatch.setattr("freepage.cli.studies.execute", fail)
    assert main(["studies"]) == 1
    assert_harmless(capsys.readouterr().err)


def test_what_the_outputs_encoding_lacks_is_shown_as_its_escape(monkeypatch, capsys):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    main(["studies", "cycle"])
    stream.write("bücher")
    stream.flush()
    assert stream.buffer.getvalue().endswith(b"b\\xfccher")


def test_a_studys_title_is_no_more_than_words(tmp_path, capsys):
    title = json.dumps(NAME)
    path = tmp_path / "study.toml"
    path.write_text(re.sub("title = .*", lambda _: f"title = {title}", builtin_studies()["cycle"]))
    main(["plan", str(path), "--accel", "tcg"])
    assert_harmless(capsys.readouterr().out)


@pytest.mark.parametrize("view", [PlainProgress, lambda stream: LiveProgress(Terminal(stream))])
def test_a_trials_last_words_are_no_more_than_words(view):
    study = scale_study(
        parse_study(builtin_studies()["cycle"], "cycle.toml"), 1.0, Conditions(64 * GIB, 2, "tcg")
    )
    trial = plan_trials(study)[0]
    record = TrialRecord(trial.id, "cycle", trial.arm, 0, 0, TrialStatus.FAILED, 1.0, error=HOSTILE)
    stream = io.StringIO()
    progress = view(stream)
    progress.run_started([trial], 10.0)
    progress.trial_started(trial)
    progress.trial_ended(trial, record)
    progress.run_ended()
    assert_harmless(stream.getvalue())


def test_the_comments_of_a_dry_run_are_words_and_nothing_else(capsys):
    print_comments([f"node {HOSTILE} is not ready"])
    assert_harmless(capsys.readouterr().out)

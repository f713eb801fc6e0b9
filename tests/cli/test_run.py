"""What `run` prints and returns, by how the run ended."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from freepage.cli import run as command
from freepage.cli.main import main
from freepage.errors import HostError
from freepage.records import TrialStatus
from freepage.run.run import RunEnded
from freepage.store import load_run
from helpers.synthetic import write_run


@pytest.fixture
def end(monkeypatch, tmp_path, capsys):
    """Run a study that ends as a function of its folder says; gives exit status, output and errors."""

    def start(ending, *options):
        async def run_study(_opening, folder, _progress, **_):
            return ending(folder)

        monkeypatch.setattr(command, "run_study", run_study)
        status = main(["run", "quick", "--arms", "vm,vm-fpr", "--out", str(tmp_path / "run"), *options])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return start


@pytest.mark.long
def test_a_run_is_reported_and_its_status_tells_of_failed_trials(end):
    def finish(folder, status):
        write_run(folder)
        return [replace(t.record, status=status) for t in load_run(folder).trials]

    status, out, _ = end(lambda folder: finish(folder, TrialStatus.OK))
    assert (status, "report:" in out) == (0, True)
    assert end(lambda folder: finish(folder, TrialStatus.SKIPPED), "--force")[0] == 0
    assert end(lambda folder: finish(folder, TrialStatus.FAILED), "--force")[0] == command.SOME_TRIALS_FAILED


def test_a_run_that_cannot_be_tidied_up_after_is_reported_all_the_same(end):
    def end_badly(folder):
        write_run(folder)
        raise RunEnded(HostError("it could not be removed"))

    status, out, err = end(end_badly)
    assert (status, "it could not be removed" in err) == (4, True)
    assert "report:" in out


def test_a_run_that_was_interrupted_is_reported_with_a_status_of_its_own(end):
    def interrupt(folder):
        write_run(folder)
        raise RunEnded(None)

    status, out, err = end(interrupt)
    assert (status, "report:" in out, err) == (command.INTERRUPTED, True, "")


def test_an_earlier_run_is_not_reported_for_one_that_did_not_come_to_measuring(end, tmp_path):
    def interrupt(_folder):
        raise asyncio.CancelledError

    write_run(tmp_path / "run")
    status, out, err = end(interrupt, "--force")
    assert (status, "report:" in out) == (130, False)
    assert "interrupted before anything was measured" in err


def test_an_interruption_while_the_target_is_closed_hides_no_run(end, monkeypatch):
    opened = command.open_preview

    @asynccontextmanager
    async def close_interrupted(options):
        async with opened(options) as preview:
            yield preview
        raise asyncio.CancelledError

    def finish(folder):
        write_run(folder)
        return [t.record for t in load_run(folder).trials]

    monkeypatch.setattr(command, "open_preview", close_interrupted)
    status, out, err = end(finish)
    assert (status, "report:" in out, err) == (0, True, "")


def test_an_option_of_another_target_is_refused_with_where_it_belongs(capsys):
    assert main(["plan", "quick", "--target", "cluster", "--kernel", "/boot/vmlinuz"]) == 2
    assert "--kernel is about this host, and the target is a cluster" in capsys.readouterr().err
    assert main(["plan", "quick", "--concurrency", "3"]) == 2
    assert "hint: --target cluster, or leave it out" in capsys.readouterr().err


def test_a_run_that_may_stop_early_says_after_how_many_repeats_it_did(end):
    def finish(folder):
        write_run(folder)
        return [replace(load_run(folder).trials[0].record, repeat=2, status=TrialStatus.OK)]

    assert "stopped after" not in end(finish)[1]
    assert "stopped after 3 of 3 repeats" in end(finish, "--force", "--until", "5%")[1]


@pytest.mark.parametrize("text", ["5", "0%", "narrow", "120%"])
def test_a_width_that_is_no_share_is_refused(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "quick", "--until", text])
    assert "is not a share" in capsys.readouterr().err

"""The options that name a Prometheus or running VMs as the source of a forecast, and the traces they give."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import numpy as np
import pytest

from freepage.cli.cluster_options import add_cluster_arguments
from freepage.cli.forecast_sources import add_arguments, find_traces
from freepage.cli.history_source import QueryProgress
from freepage.cli.main import main
from freepage.errors import StudyError
from freepage.hosts import watching
from freepage.prometheus.errors import PrometheusError
from freepage.prometheus.history_plan import HistoryRequest
from freepage.units import GIB
from helpers.fake_prometheus import FakePrometheus, serve
from helpers.fake_qemu import FakeQemu
from helpers.vm_series import vm_series


def read(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    add_cluster_arguments(parser)
    return parser.parse_args([str(word) for word in words])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/freepage"


@pytest.fixture
def fake():
    """Three hours of a VM, and of one whose guest tells nothing."""
    end = int(time.time()) // 60 * 60
    times = range(end - 3 * 3600, end + 60, 60)
    return FakePrometheus([*vm_series(times, "db"), *vm_series(times, "dark", unused=None, available=None)])


async def ask(fake, *words):
    async with serve(fake) as url:
        found = await asyncio.to_thread(find_traces, read("--prometheus", url, *words))
    return found, list(found.traces)


async def test_a_prometheus_gives_the_trace_of_each_vm_and_what_is_not_known(fake, cache, capsys):
    found, traces = await ask(fake, "--since", "1h", "--step", "2min")
    dark, db = traces
    assert (db.name, db.node, len(db)) == ("apps/db", "n1", 31)
    assert np.diff(db.t_s).tolist() == [120.0] * 30
    assert set(db.resident_bytes) == {7.0 * GIB}
    assert np.isnan(dark.free_bytes).all()
    assert ": 2 VMs from " in found.about
    assert found.about.endswith(" UTC, every 2 min")
    assert found.notes[0].startswith(
        "kubevirt_vmi_memory_unused_bytes is not there for 1 of 2 VMs (apps/dark): "
    )
    assert len(found.notes) == 1
    assert len(found.assumptions) > 3
    assert capsys.readouterr().err == "1 h of history at steps of 2 min: 1 query\n"
    assert list(cache.iterdir()) == []


async def test_a_history_cut_off_stays_in_the_cache_and_the_same_command_goes_on(
    fake, cache, capsys, monkeypatch
):
    monkeypatch.setattr("freepage.prometheus.history_plan.VMS_PER_QUERY", 1)
    async with serve(fake) as url:
        options = read("--prometheus", url, "--since", "1h")
        fake.refused = '"db"'
        with pytest.raises(PrometheusError):
            await asyncio.to_thread(find_traces, options)
        fake.refused = None
        found = await asyncio.to_thread(find_traces, options)
    assert [trace.name for trace in found.traces] == ["apps/dark", "apps/db"]
    assert capsys.readouterr().err.endswith("2 queries, 1 of them answered before\n")


async def test_a_state_folder_is_kept_and_asked_instead_the_next_time(fake, tmp_path):
    async with serve(fake) as url:
        options = read("--prometheus", url, "--since", "1h", "--state", tmp_path / "state")
        first = [trace.name for trace in (await asyncio.to_thread(find_traces, options)).traces]
        fake.asked.clear()
        again = [trace.name for trace in (await asyncio.to_thread(find_traces, options)).traces]
    assert first == again == ["apps/dark", "apps/db"]
    assert fake.asked == []


async def test_what_an_old_command_left_unfinished_is_not_gone_on_with(fake, cache, monkeypatch):
    async with serve(fake) as url:
        options = read("--prometheus", url, "--since", "1h")
        await asyncio.to_thread(find_traces, options)
        fake.asked.clear()
        monkeypatch.setattr("freepage.cli.history_source.RESUME_S", -60.0)
        await asyncio.to_thread(find_traces, options)
    assert "/api/v1/series" in {question["path"] for question in fake.asked}


async def test_what_an_old_command_left_unfinished_is_removed_by_the_next_one_for_another_span(
    fake, cache, monkeypatch
):
    async with serve(fake) as url:
        await asyncio.to_thread(find_traces, read("--prometheus", url, "--since", "1h"))
        (left,) = cache.iterdir()
        monkeypatch.setattr("freepage.cli.history_source.RESUME_S", -60.0)
        await asyncio.to_thread(find_traces, read("--prometheus", url, "--since", "2h"))
    assert not left.exists()


async def test_a_running_vm_gives_a_trace_with_only_a_range(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "_find_process", lambda _vm, pid, _watched: pid)
    monitor = FakeQemu({"query-balloon": {"actual": GIB}, "query-target": {"arch": "x86_64"}})
    async with monitor.listen(tmp_path / "qmp") as path:
        options = read("--qmp", f"db={path}", "--for", "20ms", "--interval", "10ms")
        found = await asyncio.to_thread(find_traces, options)
    assert found.about == "VMs of this host, looked at for 20 ms every 10 ms"
    (trace,) = found.traces
    assert (trace.name, len(trace)) == ("db", 3)
    assert (trace.resident_bytes > 0).all()
    assert np.isnan(trace.reportable_bytes).all()
    assert "no virtio balloon" in trace.notes[0]


def test_without_a_source_there_are_no_traces():
    assert find_traces(read()) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prometheus", "http://p", "--qmp", "a=/x"], "look at different times"),
        (["--since", "1h"], "--since is about --prometheus"),
        (["--prometheus", "http://p", "--for", "1s"], "--for is about --qmp"),
        (["--poll"], "--poll is about --qmp"),
        (["--qmp", "a=/x", "--qmp", "a=/y"], "--qmp names a twice"),
        (["--qmp", "a=/x", "--agent", "b=/y"], "--agent names b"),
        (["--prometheus", "http://p", "--since", "20s"], "less than one step of 30 s"),
        (["--prometheus", "http://p", "--since", "30d", "--step", "1s"], "more than 100000 steps of 1 s"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anybody_is_asked(words, message):
    with pytest.raises(StudyError, match=message):
        find_traces(read(*words))


@pytest.mark.parametrize(
    "words", [["--step", "1500ms"], ["--qmp", "/x"], ["--qmp", "a="], ["--since", "soon"]]
)
def test_values_that_are_none_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        read(*words)
    assert words[0] in capsys.readouterr().err


def test_progress_is_told_now_and_then_with_the_time_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = QueryProgress(HistoryRequest(86400.0))
    for there in range(4, 11):
        progress.tell(there, 10)
        now[0] += 6.0
    assert capsys.readouterr().err.splitlines() == [
        "24 h of history at steps of 30 s: 10 queries, 4 of them answered before",
        "6 of 10 queries, about 24 s left",
        "8 of 10 queries, about 12 s left",
    ]


async def test_the_command_forecasts_from_a_prometheus_and_says_what_it_could_not_tell(fake, cache, capsys):
    async with serve(fake) as url:
        command = ["forecast", "--prometheus", url, "--since", "1h", "--format", "json"]
        assert await asyncio.to_thread(main, command) == 0
    found = json.loads(capsys.readouterr().out)
    dark, db = found["vms"]
    assert (db["name"], db["namespace"], db["node"], db["fpr_on"]) == ("apps/db", "apps", "n1", None)
    assert db["gib_min"]["now"] == pytest.approx(7 * 60)
    low, likely, high = db["gib_min"]["with_fpr"].values()
    assert 3 * 60 < low < high < 7 * 60
    assert likely is None
    assert set(dark["gib_min"]["with_fpr"].values()) == {None}
    assert found["total"]["vms_without_forecast"] == ["apps/dark"]
    assert any(words.startswith(f"What was seen: {url}: 2 VMs from ") for words in found["assumptions"])
    assert any(
        "kubevirt_vmi_memory_unused_bytes is not there for 1 of 2 VMs" in words for words in found["unknown"]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to forecast from"),
        (["--prometheus", "http://p", "a.csv"], "a.csv and what is asked now"),
        (["--prometheus", "http://p", "--total", "1GiB"], "--total is about files"),
    ],
)
def test_the_command_takes_one_kind_of_source(words, message, capsys):
    assert main(["forecast", *words]) == 2
    assert message in capsys.readouterr().err

"""Releases of a trial made by hand: what sampling cannot see is missing, never a number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freepage.analysis.estimates import Quantity, TrialOnly
from freepage.analysis.releases import find_frees, find_releases, measure_releases
from freepage.analysis.trial_values import measure_trial
from freepage.records import Arm, Evidence
from freepage.units import GIB, MIB
from helpers.hand_made import block, make_trial, resident_of, ticks

RSS = ("a", "rss_bytes")
PHASES = [n / 10 for n in range(10)]


def trial_of(events, times, *, resident=None, arm=Arm.POD, **options):
    resident = resident_of(events, times) if resident is None else resident
    return make_trial({RSS: (times, resident)}, events, arm=arm, **options)


def blocks_held_shortly(hold_s=0.7):
    """Three blocks of half a GiB, each touched within 0.3 s, held for less than a tick of one second."""
    return [e for start_s in (0.0, 6.0, 12.0) for e in block(start_s, start_s + 0.3, start_s + 0.3 + hold_s)]


@pytest.mark.parametrize("phase_s", PHASES)
def test_a_pod_gives_back_all_at_every_phase_of_the_samples_or_it_is_not_known(phase_s):
    """The last sample before the free can precede the allocation: it knows nothing of what was held."""
    trial = trial_of(blocks_held_shortly(), ticks(-3, 19, 1.0, phase_s))
    share = measure_releases(trial)[Quantity.GIVEN_BACK]
    assert share is not None
    assert share == pytest.approx(1.0)


@pytest.mark.parametrize("phase_s", PHASES)
def test_in_a_vm_nothing_tells_what_a_block_without_a_sample_took_of_the_host(phase_s):
    events = blocks_held_shortly(0.5)
    times = ticks(-3, 19, 1.0, phase_s)
    kept = resident_of(events, times, idle=200 * MIB)
    values = measure_releases(trial_of(events, times, resident=kept, arm=Arm.VM_FPR))
    seen_in_time = values[TrialOnly.RELEASES_UNSEEN] == 0
    assert values[Quantity.GIVEN_BACK] == (pytest.approx(1.0) if seen_in_time else None)


def test_a_block_that_took_pages_resident_before_says_nothing_of_what_comes_back():
    """As churn at a small scale: 13 MiB allocated, and the host's 220 MiB did not move."""
    events, times = block(5.8, 6.0, 6.3, size=13 * MIB), ticks(-2, 19, 0.5, 0.2)
    values = measure_releases(trial_of(events, times, resident=[220 * MIB] * len(times), arm=Arm.VM_FPR))
    assert values[Quantity.GIVEN_BACK] is None
    assert (values[TrialOnly.RELEASES], values[TrialOnly.RELEASES_UNSEEN]) == (0, 1)


def test_a_release_within_one_tick_is_known_to_that_tick_and_has_no_pace():
    """0.041 s, seen 0.452 s after the free: interpolated from nothing it would read 0.41 s."""
    events = block(0.0, 1.0, 5.048)
    values = measure_releases(trial_of(events, ticks(-2, 19, 0.5)))
    assert values[Quantity.RELEASE_T90] == pytest.approx(0.452 / 2, abs=0.01)
    assert values[Quantity.RELEASE_RESOLUTION] == pytest.approx(0.452, abs=0.02)
    assert values[Quantity.RELEASE_RATE] is None


def test_a_time_lies_between_the_sample_that_shows_it_and_the_one_before():
    events, times = block(0.0, 1.0, 5.1), ticks(-2, 19, 0.5)
    resident = [512 * MIB if t < 9.2 else 0.0 for t in times]
    found = find_releases(trial_of(events, times, resident=[100 * MIB + r for r in resident], arm=Arm.VM_FPR))
    assert found[0].time_to_share_s(0.9) == pytest.approx((3.9, 4.4), abs=0.011)


def test_the_error_of_the_clock_widens_the_span():
    events, times = block(0.0, 1.0, 5.1), ticks(-2, 19, 0.5)
    resident = [512.0 * MIB if t < 9.2 else 0.0 for t in times]
    low, high = find_releases(trial_of(events, times, resident=resident, uncertainty_s=0.2))[
        0
    ].time_to_share_s(0.9)
    assert (low, high) == pytest.approx((3.9 - 0.21, 4.4 + 0.21), abs=0.001)


@pytest.mark.parametrize(("finished", "known"), [(3, True), (2, True), (1, False), (0, False)])
def test_a_median_counts_releases_that_did_not_get_there_as_longer_than_any(finished, known):
    """Of three releases: two that took 2 s make a median, one does not, however the third went."""
    events = [e for start_s in (0.0, 6.0, 12.0) for e in block(start_s, start_s + 0.5, start_s + 1.0)]
    times = ticks(-2, 18, 0.5, 0.1)
    slow = events[2 * finished :]
    fast = events[: 2 * finished]
    resident = [
        r + s for r, s in zip(resident_of(fast, times), resident_of(slow, times, keeps=0.3), strict=True)
    ]
    values = measure_releases(trial_of(events, times, resident=resident, duration_s=18.0))
    assert (values[Quantity.RELEASE_T90] is not None) is known
    assert values[TrialOnly.RELEASE_T90_COUNT] == finished
    assert values[TrialOnly.RELEASES] == 3
    assert values[TrialOnly.RELEASE_WINDOW] == pytest.approx(5.0)


@pytest.mark.parametrize("before_s", [0.041, 0.048, 0.3])
def test_a_pod_holds_next_to_nothing_needlessly_wherever_samples_fall(before_s):
    """Samples 41 to 48 ms before each free made half a GiB s of nothing."""
    events = [e for start_s in (0.0, 7.0) for e in block(start_s, start_s + 1.0, start_s + 5.0)]
    trial = trial_of(events, ticks(-2, 14, 0.5, -before_s), duration_s=14.0)
    assert measure_trial(trial)[Quantity.HELD_NEEDLESSLY] < 0.011


def test_a_sample_in_the_middle_of_a_free_is_no_memory_held_needlessly():
    events = block(0.0, 1.0, 5.0, 5.1)
    trial = trial_of(events, ticks(-2, 14, 0.5, 0.05), duration_s=14.0)
    assert measure_trial(trial)[Quantity.HELD_NEEDLESSLY] == pytest.approx(0.0, abs=1e-6)


def test_what_a_vm_keeps_is_the_block_for_as_long_as_nothing_is_held():
    events, times = block(0.0, 1.0, 5.0), ticks(-2, 15.5, 0.5, 0.25)
    kept = resident_of(events, times, keeps=1.0, idle=200 * MIB)
    trial = trial_of(events, times, resident=kept, arm=Arm.VM, duration_s=15.0)
    assert measure_trial(trial)[Quantity.HELD_NEEDLESSLY] == pytest.approx(512 * MIB * 10 / GIB, abs=0.13)


@pytest.mark.parametrize(("delay_s", "releases"), [(None, 3), (0.25, 3), (2.0, 3), (5.0, 1)])
def test_a_guest_whose_passes_are_further_apart_needs_a_longer_window(delay_s, releases):
    """Of windows of 5, 5 and 9 s only the last leaves time for a first pass after 5 s."""
    events = [e for start_s in (0.0, 6.0, 12.0) for e in block(start_s, start_s + 0.3, start_s + 1.0)]
    times = ticks(-3, 22, 0.5)
    evidence = (Evidence("a", configured=True, reporting_delay_s=delay_s),)
    trial = trial_of(events, times, arm=Arm.VM_FPR, duration_s=22.0)
    trial = replace(trial, record=replace(trial.record, evidence=evidence))
    assert len(list(find_frees(trial))) == releases

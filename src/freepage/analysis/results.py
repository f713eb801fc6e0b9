"""Everything computed from a stored run: estimates, doubts, claims and the verdict. docs/results-schema.md describes it as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from freepage.analysis.arithmetic import divide
from freepage.analysis.claims import ClaimConditions, ClaimResult, decide_claims
from freepage.analysis.conclusion import VerdictInput
from freepage.analysis.controls import void_shares
from freepage.analysis.definition import Area
from freepage.analysis.doubts.base import Doubt, DoubtInput
from freepage.analysis.doubts.find import find_doubts
from freepage.analysis.equal_arms import judge_equal_arms
from freepage.analysis.estimates import Quantity
from freepage.analysis.experiments import Experiments, build_experiments, find_headline
from freepage.analysis.limits import ExperimentOutcome, build_outcome
from freepage.analysis.past_strain import find_past_strain
from freepage.analysis.paying import PayingMap, build_paying
from freepage.analysis.prometheus import PrometheusResults, build_prometheus
from freepage.analysis.reach import find_pace
from freepage.analysis.room import find_roomy
from freepage.analysis.strain import find_strains
from freepage.analysis.trial_values import measure_trial
from freepage.analysis.verdict import Verdict, decide
from freepage.fpr.mechanics import find_common_passes
from freepage.kinds import Subject
from freepage.records import Arm, Evidence, TrialStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from freepage.analysis.estimates import TrialValues
    from freepage.fpr.mechanics import Passes
    from freepage.fpr.pace import Pace
    from freepage.store import Run, TrialData

RESULTS_SCHEMA = 1
# The host's memory fell after releases: at least this share of what was freed came back.
LEAST_EFFECTIVE_FRACTION = 0.5
# Pods give back all they free: where that was not seen, no share was measured.
VOIDING_DOUBT = "control-pod"
# What was first read, or measured, after version 0.1: left out where nothing is known of it.
LATER_FIELDS = frozenset(
    {"reporting_delay_s", "page_bytes", "free_lists", "host_page_bytes", "host_huge_page_bytes", "paying"}
)


@dataclass(frozen=True)
class EvidenceResult(Evidence):
    """Evidence of FPR on one instance, and whether it was effective, which is known of its trial."""

    effective: bool | None = None


@dataclass(frozen=True)
class TrialResult:
    """One trial: how it went, and its numbers; values: None for a trial that did not end well.

    sampler_cpu_fraction: CPU that the sampler used, of one core.
    """

    id: str
    experiment: str
    arm: Arm
    repeat: int
    order: int
    status: TrialStatus
    error: str | None
    hint: str | None
    ready_s: float | None
    sampler_cpu_fraction: float | None
    evidence: tuple[EvidenceResult, ...]
    values: TrialValues | None


@dataclass(frozen=True)
class Results:
    """Everything computed from a stored run; experiments by name, in the order they ran.

    warmups: trials that were run before those that count, and are part of no number. paying: what its map shows, None without one.
    """

    study: str
    title: str
    accelerator: str
    started_at: str
    finished_at: str | None
    verdict: Verdict
    doubts: tuple[Doubt, ...]
    claims: tuple[ClaimResult, ...]
    trials: tuple[TrialResult, ...]
    experiments: Experiments
    prometheus: PrometheusResults | None
    warmups: tuple[TrialResult, ...] = ()
    paying: PayingMap | None = None

    @property
    def headline(self) -> str | None:
        """The experiment whose numbers stand first."""
        return self.verdict.headline or None

    def doubts_touching(self, area: Area, experiment: str | None) -> tuple[Doubt, ...]:
        """Return the doubts that touch one area of one experiment."""
        return tuple(d for d in self.doubts if d.touches is area and d.experiment in {None, experiment})

    def as_json(self) -> dict[str, object]:
        """Return the content of results.json: no NaN, null where nothing is known."""
        claims = [claim.as_json() for claim in self.claims]
        content = asdict(self, dict_factory=_leave_out_unseen)
        return {"schema": RESULTS_SCHEMA} | content | {"claims": claims}


def _leave_out_unseen(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Return the fields of one record without those that runs before did not have, where nothing is known of them."""
    return {name: value for name, value in fields if value is not None or name not in LATER_FIELDS}


def build_results(run: Run) -> Results:
    """Compute everything from a stored run alone."""
    return judge_run(run, void_shares(run, {t.record.id: measure_trial(t) for t in run.ok_trials()}))


def judge_run(run: Run, values: Mapping[str, TrialValues]) -> Results:
    """Return what follows from the numbers of a run's trials, by their ids."""
    experiments = build_experiments(run, values)
    doubts = find_doubts(DoubtInput(run, values, experiments))
    paying, manifest, paces = build_paying(run, values, experiments), run.manifest, _find_paces(run)
    return Results(
        study=manifest.study,
        title=manifest.title,
        accelerator=manifest.accelerator,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        verdict=judge_equal_arms(experiments)
        or decide(_build_verdict_input(run, experiments, doubts, paces, paying), manifest.verdict_rule),
        doubts=doubts,
        claims=decide_claims(experiments, _build_claim_conditions(run, values, doubts, paces)),
        trials=tuple(_build_trial(t, values.get(t.record.id)) for t in run.trials),
        experiments=experiments,
        prometheus=build_prometheus(run),
        warmups=tuple(_build_trial(t, None) for t in run.warmups),
        paying=paying,
    )


def _build_claim_conditions(
    run: Run, values: Mapping[str, TrialValues], doubts: Iterable[Doubt], paces: Mapping[str, Pace]
) -> ClaimConditions:
    return ClaimConditions(
        run.manifest.accelerator,
        run.manifest.interval_s,
        smoke=run.manifest.smoke,
        moved=frozenset(_find_moved(doubts)),
        voided=_find_voided(doubts),
        roomy=find_roomy(run, values),
        scale=run.manifest.scale,
        scales=run.manifest.scales,
        paces=paces,
    )


def _find_paces(run: Run) -> dict[str, Pace]:
    """Return the pace of each experiment, from a trial with FPR."""
    with_fpr = [t for t in run.ok_trials(arm=Arm.VM_FPR) if t.schedules]
    return {t.record.experiment: find_pace(t, _find_passes(run, t)) for t in with_fpr}


def _find_passes(run: Run, trial: TrialData) -> Passes | None:
    return find_common_passes(trial.record.evidence, run.manifest.architecture)


def _find_moved(doubts: Iterable[Doubt]) -> dict[str, str]:
    """Return the experiments during which other work moved the node's memory, with what is said of it."""
    return {d.experiment: d.text for d in doubts if d.touches is Area.NODE and d.experiment}


def _find_voided(doubts: Iterable[Doubt]) -> dict[str, str]:
    """Return the experiments whose shares are void, because what must come back of a pod was not seen to, with the words."""
    return {d.experiment: d.text for d in doubts if d.id == VOIDING_DOUBT and d.experiment}


def _build_verdict_input(
    run: Run,
    experiments: Experiments,
    doubts: Iterable[Doubt],
    paces: Mapping[str, Pace],
    paying: PayingMap | None,
) -> VerdictInput:
    named = run.manifest.verdict_rule.headline
    first = find_headline(experiments, named) or ""
    moved, voided = _find_moved(doubts), _find_voided(doubts)
    outcomes = {
        name: replace(
            build_outcome(name, e, _instances_of(run, name), ran=_has_run(run, name)),
            obstacle=voided.get(name, ""),
            node_obstacle=moved.get(name, ""),
            saved_in_time=paces[name].saved_in_time if name in paces else 1.0,
        )
        for name, e in experiments.items()
        if name == first or Subject.PAYING not in e.traits.measures
    }
    missing = ExperimentOutcome(
        obstacle=f"The experiment {named}, by which the study is answered, did not come to run."
        if named
        else ""
    )
    headline = outcomes.pop(first, missing)
    return VerdictInput(
        headline,
        tuple(outcomes.values()),
        times_count=run.manifest.accelerator == "kvm",
        smoke=run.manifest.smoke,
        strains=find_strains(run),
        past=find_past_strain(run),
        paying=paying,
    )


def _has_run(run: Run, experiment: str) -> bool:
    """Return whether a trial with FPR was started: one that could not run here shows nothing, and leaves nothing open."""
    mine = (t.record for t in run.trials if t.record.experiment == experiment and t.record.arm is Arm.VM_FPR)
    return any(r.status is not TrialStatus.SKIPPED for r in mine)


def _instances_of(run: Run, experiment: str) -> list[str]:
    """Return the names of the instances of an experiment's trials with FPR."""
    mine = (t for t in run.trials if t.record.experiment == experiment and t.record.arm is Arm.VM_FPR)
    return next((list(t.schedules) for t in mine if t.schedules), [])


def _build_trial(trial: TrialData, values: TrialValues | None) -> TrialResult:
    record, effective = trial.record, _is_effective(values or {})
    return TrialResult(
        record.id,
        record.experiment,
        record.arm,
        record.repeat,
        record.order,
        record.status,
        record.error,
        record.hint,
        record.ready_s,
        divide(record.sampler_cpu_s, record.sampler_wall_s),
        tuple(EvidenceResult(**asdict(e), effective=effective) for e in record.evidence),
        values,
    )


def _is_effective(values: TrialValues) -> bool | None:
    given = values.get(Quantity.GIVEN_BACK)
    return None if given is None else given >= LEAST_EFFECTIVE_FRACTION

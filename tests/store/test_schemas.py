"""Manifests of every schema there was are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freepage.records import RUN_SCHEMA, VerdictRule
from freepage.store import load_run
from freepage.store.schemas import LIMITS_OF_SCHEMA_3, SCHEMA_1_RULE, UPGRADES, upgrade_manifest

RUNS = Path(__file__).parents[1] / "recorded/runs"
OF_SCHEMA_1 = {
    "schema": 1,
    "target": "local",
    "tools": {},
    "scale": 0.01,
    "verdict_rule": {"min_io_ratio": 0.8},
}


def test_there_is_a_step_from_every_earlier_schema_to_the_next():
    assert sorted(UPGRADES) == list(range(1, RUN_SCHEMA))
    assert upgrade_manifest(OF_SCHEMA_1)["schema"] == RUN_SCHEMA


def test_a_manifest_of_schema_1_gets_the_rule_and_the_smoke_scale_of_its_time():
    upgraded = upgrade_manifest(OF_SCHEMA_1)
    rule = SCHEMA_1_RULE | {"min_io_ratio": 0.8} | dict.fromkeys(LIMITS_OF_SCHEMA_3)
    assert upgraded["verdict_rule"] == rule
    assert upgraded["smoke"]
    assert not upgrade_manifest(OF_SCHEMA_1 | {"scale": 0.015})["smoke"]


def test_a_run_of_schema_2_is_not_judged_by_limits_that_its_rule_did_not_have():
    rule = {"min_saved_mean_fraction": 0.1, "headline": "cycle"}
    upgraded = upgrade_manifest({"schema": 2, "verdict_rule": rule})
    assert upgraded == {"schema": RUN_SCHEMA, "verdict_rule": rule | dict.fromkeys(LIMITS_OF_SCHEMA_3)}
    assert all(getattr(VerdictRule(), limit) is not None for limit in LIMITS_OF_SCHEMA_3)


def test_a_manifest_of_the_present_schema_is_left_as_it_is():
    content = {"schema": RUN_SCHEMA, "smoke": True, "verdict_rule": {}}
    assert upgrade_manifest(content) == content


@pytest.mark.parametrize("folder", sorted(RUNS.iterdir()), ids=lambda p: p.name)
def test_recorded_runs_of_every_schema_load(folder, tmp_path):
    stored = json.loads((folder / "manifest.json").read_text())
    manifest = load_run(folder).manifest
    assert manifest.schema == RUN_SCHEMA
    assert manifest.scale == stored["scale"]
    assert isinstance(manifest.verdict_rule, VerdictRule)

"""Written runs changed afterwards, and the doubts that are found in them."""

from __future__ import annotations

import json

import polars as pl

from freepage.analysis.results import build_results
from freepage.store import load_run
from helpers.modelled_run import find_trial_ids


def doubts_of(folder):
    return {d.id: d for d in build_results(load_run(folder)).doubts}


def change_samples(folder, arm, metric, change):
    """Change one metric of every trial of an arm: `change` takes t_s and value."""
    for name in find_trial_ids(folder, "cycle", arm):
        path = folder / "trials" / name / "samples.parquet"
        samples = pl.read_parquet(path)
        new = pl.when(pl.col("metric") == metric).then(change(pl.col("t_s"), pl.col("value")))
        samples.with_columns(new.otherwise(pl.col("value")).alias("value")).write_parquet(path)


def take_memory(samples, taken):
    """Return a trial's samples where other work takes memory of the node: `taken` is an expression in t_s, or a number of bytes."""
    value = pl.when(pl.col("metric") == "mem_free_bytes").then(pl.col("value") - taken)
    return samples.with_columns(value.otherwise(pl.col("value")).alias("value"))


def add_node_metric(folder, arm, metric, values, entity="node"):
    """Give every trial of an arm a metric of its node, in place of what it has: `values` takes t_s."""
    for name in find_trial_ids(folder, "cycle", arm):
        path = folder / "trials" / name / "samples.parquet"
        samples = pl.read_parquet(path).filter(~((pl.col("entity") == entity) & (pl.col("metric") == metric)))
        times = samples["t_s"].unique().to_list()
        rows = [(t, entity, metric, float(values(t))) for t in times]
        added = pl.DataFrame(rows, schema=samples.schema, orient="row")
        pl.concat([samples, added]).write_parquet(path)


def change_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def change_record(folder, arm, change):
    for name in find_trial_ids(folder, "cycle", arm)[:1]:
        path = folder / "trials" / name / "trial.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))

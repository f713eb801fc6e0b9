"""The run folder: append-only JSONL while a trial runs, Parquet once it is sealed, and everything back from either."""

from freepage.store.folder import (
    MANIFEST,
    PROMETHEUS,
    REPORT,
    RESULTS,
    check_folder,
    prepare_folder,
    write_json,
)
from freepage.store.run import PrometheusSamples, Run, TrialData, load_run, load_trial
from freepage.store.writer import TrialWriter, write_manifest, write_prometheus

__all__ = [
    "MANIFEST",
    "PROMETHEUS",
    "REPORT",
    "RESULTS",
    "PrometheusSamples",
    "Run",
    "TrialData",
    "TrialWriter",
    "check_folder",
    "load_run",
    "load_trial",
    "prepare_folder",
    "write_json",
    "write_manifest",
    "write_prometheus",
]

"""The pages that are generated from the code, and where each of them stands.

To make them anew: PYTHONPATH=src:tests .venv/bin/python tests/helpers/pages.py
"""

from __future__ import annotations

from pathlib import Path

from freepage.analysis.reference import describe_estimates
from freepage.fpr.systems import describe_guests
from freepage.metrics import describe_metrics
from freepage.prometheus.profile import describe_profile

DOCS = Path(__file__).parents[2] / "docs"
# The estimates end the page on results.json; what stands before them is written by hand.
ESTIMATES_START = "Made from `src/freepage/analysis/estimates.py`."


def build_metrics_page():
    return describe_metrics() + describe_profile()


def build_results_page():
    by_hand = (DOCS / "results-schema.md").read_text(encoding="utf-8").split(ESTIMATES_START)[0]
    return by_hand + describe_estimates()


PAGES = {
    "guests.md": describe_guests,
    "metrics.md": build_metrics_page,
    "results-schema.md": build_results_page,
}


if __name__ == "__main__":
    for name, build in PAGES.items():
        (DOCS / name).write_text(build(), encoding="utf-8")

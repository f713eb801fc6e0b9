"""Studies as the tests of the study room use them: hosts, and built-in studies at a scale."""

from __future__ import annotations

from freepage.study.read import read_study
from freepage.study.scaling.study import scale_study
from freepage.study.study import Conditions
from freepage.units import GIB

SMALL = Conditions(node_memory_bytes=24 * GIB, cores=2, accelerator="tcg")
LAPTOP = Conditions(node_memory_bytes=32 * GIB, cores=8, accelerator="kvm")
# The article's own node.
ARTICLE = Conditions(node_memory_bytes=192 * GIB, cores=80, accelerator="kvm")
HOST = {"memory_total_bytes": 24 * GIB, "memory_available_bytes": 22 * GIB, "cpus_logical": 2}
# A map of a user, and an experiment beside it.
MAP = """name = "mine"
arms = ["vm", "vm-fpr"]

[[experiment]]
kind = "map"
size = ["256MiB", "1GiB"]
hold = ["2s"]
idle = ["1s", "2500ms", "12s"]
iterations = 2
"""
CYCLE = """
[[experiment]]
kind = "cycle"
size = "64MiB"
hold = "1s"
idle = "4s"
iterations = 1
"""


def read(name, *overrides):
    return read_study(name, overrides)[0]


def scaled(name, scale, conditions=SMALL, *overrides):
    return scale_study(read(name, *overrides), scale, conditions)


def group_of(scale, conditions=SMALL, **fields):
    """Return the only group of an experiment with these keys, at a scale."""
    from freepage.study.file import StudyFile

    file = StudyFile.model_validate({"name": "s", "experiment": [fields]})
    (group,) = scale_study(file, scale, conditions).experiments[0].groups
    return group


def peak_demand_bytes(group):
    return group.processes * round(group.size.maximum)

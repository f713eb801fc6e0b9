"""Every kind of experiment with its traits, and every workload a group can have. No other module names a kind.

A new kind is an entry here and a study in study/builtin; a new schedule of memory also a function in study/schedule.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Activity(StrEnum):
    """The program of a workload: the worker's own use of memory, fio, or a program of the user's."""

    MEMORY = "memory"
    FIO = "fio"
    COMMAND = "command"


class Subject(StrEnum):
    """A thing an experiment measures; doubts, claims, limits and titles apply to experiments that measure theirs.

    RELEASES: whole blocks are meant to come back before memory is used again. NODE_MEMORY: how much of the node's
    memory is in use. SAVINGS: its mean is looked at first. ALLOCATION: the cost of allocating, in time and CPU.
    GUEST_IO, HOST_IO: fio in the instances of the arm, or on the node beside them. COMMAND: how long a program takes.
    """

    RELEASES = "releases"
    NODE_MEMORY = "node-memory"
    SAVINGS = "savings"
    ALLOCATION = "allocation"
    GUEST_IO = "guest-io"
    HOST_IO = "host-io"
    COMMAND = "command"


class FigureName(StrEnum):
    """A figure that can be drawn of an experiment, by what it shows."""

    NODE_MEMORY = "node-memory"
    RELEASE = "release"
    CPU = "cpu"
    ALLOCATION = "allocation"
    THROUGHPUT = "throughput"
    FORECAST = "forecast"


@dataclass(frozen=True)
class Workload:
    """The work of all instances of one group.

    schedule: of a workload of memory, the name of its function in study/schedule.py. cyclic: all processes repeat one
    block of one size at the same times, `iterations` times; otherwise they draw, for a `duration`. synchronised: a step
    that starts late fails the trial. paced: its times are those of FPR's passes and scale with them; otherwise they are
    far shorter and stay.
    """

    name: str
    activity: Activity
    schedule: str = ""
    cyclic: bool = False
    synchronised: bool = False
    paced: bool = True

    @property
    def uses_memory(self) -> bool:
        return self.activity is Activity.MEMORY


# The article's first test: one block allocated, held and freed, all over again.
CYCLE = Workload("cycle", Activity.MEMORY, "cyclic", cyclic=True)
# The article's synchronised instances: the same cycle in many instances, at common times.
BURST = Workload("burst", Activity.MEMORY, "cyclic", cyclic=True, synchronised=True)
# The article's second test: blocks of drawn sizes, held for drawn times.
RANDOM = Workload("random", Activity.MEMORY, "drawn")
# The article's very fast rate of allocation and release: random, with times far shorter than FPR's own.
CHURN = Workload("churn", Activity.MEMORY, "drawn", paced=False)
FIO = Workload("fio", Activity.FIO)
COMMAND = Workload("command", Activity.COMMAND)

WORKLOADS = {w.name: w for w in (CYCLE, BURST, RANDOM, CHURN, FIO, COMMAND)}


@dataclass(frozen=True)
class Kind:
    """One kind of experiment.

    workload: of its own group; None where it always consists of several groups, fio on the node beside instances that
    use memory. measures: the subjects of its numbers. figures: those drawn of it, in the order of the
    page. columns: the estimates that a terminal shows first. claims: the ids of the article's claims it can decide.
    repeats_arm: its one arm runs a second time under another name, so that nothing may differ (an A/A test).
    """

    name: str
    workload: Workload | None
    measures: frozenset[Subject]
    figures: tuple[FigureName, ...] = (FigureName.NODE_MEMORY, FigureName.RELEASE, FigureName.FORECAST)
    columns: tuple[str, ...] = (
        "given_back_fraction",
        "release_t90_s",
        "node_in_use_mean_bytes",
        "node_in_use_max_bytes",
        "alloc_first_s",
        "alloc_rest_s",
    )
    claims: tuple[str, ...] = ()
    repeats_arm: bool = False

    @property
    def synchronised(self) -> bool:
        return self.workload is not None and self.workload.synchronised

    @property
    def shares_node(self) -> bool:
        """Return whether fio on the node runs beside instances that use memory, on a node of its own where one can be made."""
        return Subject.HOST_IO in self.measures

    @property
    def measures_io(self) -> bool:
        return not self.measures.isdisjoint({Subject.GUEST_IO, Subject.HOST_IO})


_IO_COLUMNS = (
    "cached_read_fraction",
    "node_in_use_mean_bytes",
    "node_in_use_max_bytes",
    "working_set_mean_bytes",
)
_ALL = (
    Kind(
        "cycle",
        CYCLE,
        frozenset({Subject.RELEASES, Subject.NODE_MEMORY, Subject.ALLOCATION}),
        figures=(
            FigureName.NODE_MEMORY,
            FigureName.RELEASE,
            FigureName.FORECAST,
            FigureName.ALLOCATION,
        ),
        claims=(
            "tracks-the-pod",
            "only-grows",
            "release-takes-time",
            "pod-releases-at-once",
            "reallocation-penalty",
            "later-as-first",
            "slower-than-a-pod",
        ),
    ),
    Kind(
        "random",
        RANDOM,
        frozenset({Subject.RELEASES, Subject.NODE_MEMORY, Subject.SAVINGS, Subject.ALLOCATION}),
        claims=("only-grows", "saves-memory", "saves-peak-memory", "overhead-per-vm"),
    ),
    Kind(
        "churn",
        CHURN,
        frozenset({Subject.SAVINGS, Subject.ALLOCATION}),
        figures=(FigureName.CPU, FigureName.NODE_MEMORY, FigureName.FORECAST),
        columns=(
            "instance_cpu_cores",
            "guest_cpu_cores",
            "main_loop_cpu_s",
            "node_cpu_cores",
            "node_cpu_peak_cores",
        ),
        claims=("extra-cpu",),
    ),
    Kind(
        "burst",
        BURST,
        frozenset({Subject.RELEASES, Subject.NODE_MEMORY, Subject.SAVINGS, Subject.ALLOCATION}),
        figures=(FigureName.CPU, FigureName.NODE_MEMORY, FigureName.RELEASE, FigureName.FORECAST),
        columns=(
            "instance_cpu_cores",
            "cpu_alloc_peak_cores",
            "cpu_release_peak_cores",
            "start_skew_max_s",
            "start_skew_p99_s",
        ),
        claims=("no-cpu-at-release",),
    ),
    Kind(
        "guest-io",
        FIO,
        frozenset({Subject.RELEASES, Subject.SAVINGS, Subject.GUEST_IO}),
        figures=(FigureName.THROUGHPUT, FigureName.NODE_MEMORY, FigureName.FORECAST),
        columns=_IO_COLUMNS,
        claims=("no-cached-case-lost", "same-guest-io", "guest-io-memory"),
    ),
    Kind(
        "host-io",
        None,
        frozenset({Subject.NODE_MEMORY, Subject.SAVINGS, Subject.HOST_IO}),
        figures=(FigureName.THROUGHPUT, FigureName.NODE_MEMORY, FigureName.FORECAST),
        columns=_IO_COLUMNS,
        claims=("host-reads-cached", "host-reads-not-cached-without", "host-io-memory"),
    ),
    Kind(
        "aa",
        CYCLE,
        frozenset({Subject.NODE_MEMORY}),
        columns=("alloc_first_s", "alloc_rest_s", "instance_cpu_cores", "node_in_use_mean_bytes"),
        repeats_arm=True,
    ),
    Kind(
        "command",
        COMMAND,
        frozenset({Subject.RELEASES, Subject.SAVINGS, Subject.COMMAND}),
        figures=(FigureName.NODE_MEMORY, FigureName.FORECAST),
        columns=("command_s", "command_failures", "node_in_use_mean_bytes"),
    ),
)
KINDS = {kind.name: kind for kind in _ALL}
# A stored run can have a kind that this version does not know.
_UNKNOWN = Kind("", None, frozenset(Subject) - {Subject.GUEST_IO, Subject.HOST_IO, Subject.COMMAND})


def find_kind(name: str) -> Kind:
    """Return the kind that a stored trial names; an unknown one measures the same as most kinds."""
    return KINDS.get(name, _UNKNOWN)

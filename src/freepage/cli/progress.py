"""Shows a run while it goes on: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from rich.live import Live

from freepage.metrics import node_in_use_bytes
from freepage.records import NODE, Arm, SampleLine, TrialRecord, TrialStatus
from freepage.report.console import Terminal, lines, paragraph, words
from freepage.report.printable import printable_lines
from freepage.units import GIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from freepage.report.console import Words
    from freepage.run.progress import Progress
    from freepage.study.plan import Trial

PLAIN_INTERVAL_S = 10.0
LIVE_HZ = 4
ARM_COLOURS = {
    Arm.POD: "green",
    Arm.VM: "red",
    Arm.VM_FPR: "blue",
    Arm.BASELINE: "yellow",
    Arm.CONTROL: "magenta",
}
_BARS = " ▁▂▃▄▅▆▇█"
_ASCII_BARS = " .:-=+*%#"


def make_progress(stream: TextIO) -> Progress:
    """Return the view that suits `stream`: live when it is a terminal that can, else plain lines."""
    console = Terminal(stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveProgress(console)
    return PlainProgress(stream)


class TimeLeft:
    """The time a run still takes: that planned for the trials to come, and the rest of the current one."""

    def __init__(self, trials: Sequence[Trial], total_s: float) -> None:
        planned_s = sum(t.duration_s for t in trials)
        self._overhead_s = (total_s - planned_s) / max(len(trials), 1)
        self._waiting = {t.id: t.duration_s for t in trials}
        self._current: str | None = None
        self._started_s = time.monotonic()

    def start(self, trial: Trial) -> None:
        self._current, self._started_s = trial.id, time.monotonic()

    def end(self, trial: Trial) -> None:
        self._waiting.pop(trial.id, None)
        self._current = None

    def seconds(self) -> float:
        total = sum(seconds + self._overhead_s for seconds in self._waiting.values())
        passed = time.monotonic() - self._started_s if self._current else 0.0
        return max(total - passed, 0.0)


class PlainProgress:
    """One line when a trial starts and ends, and one every ten seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._trials: Sequence[Trial] = ()
        self._left = TimeLeft((), 0.0)
        self._spoke_s = 0.0

    def run_started(self, trials: Sequence[Trial], total_s: float) -> None:
        self._trials, self._left = trials, TimeLeft(trials, total_s)
        self._say(f"{len(trials)} trials, about {format_duration(total_s)}")

    def trial_started(self, trial: Trial) -> None:
        self._left.start(trial)
        self._say(f"{describe_trial(trial, len(self._trials))}, {format_duration(self._left.seconds())} left")

    def sampled(self, trial: Trial, line: SampleLine) -> None:
        # What was sampled before the schedules started is told of only afterwards.
        if line.t_s < 0 or time.monotonic() - self._spoke_s < PLAIN_INTERVAL_S:
            return
        used = node_in_use_bytes(line.values[NODE])
        words = "unknown" if used is None else format_bytes(used)
        self._say(f"  {line.t_s:.0f} s of {trial.duration_s:.0f} s, node memory in use {words}")

    def trial_ended(self, trial: Trial, record: TrialRecord) -> None:
        self._left.end(trial)
        if record.status is not TrialStatus.OK:
            self._say(f"  {record.status}: {record.error}")

    def run_ended(self) -> None:
        return

    def _say(self, text: str) -> None:
        self._spoke_s = time.monotonic()
        print(printable_lines(text), file=self._stream, flush=True)


class LiveProgress:
    """The trial that runs, the time left, and a small chart of node memory for the last trial of each arm."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._live: Live | None = None
        self._trials: Sequence[Trial] = ()
        self._left = TimeLeft((), 0.0)
        self._trial: Trial | None = None
        self._charts: dict[Arm, list[tuple[float, float]]] = {}
        self._zero: dict[Arm, float] = {}
        self._problems: list[str] = []

    def run_started(self, trials: Sequence[Trial], total_s: float) -> None:
        self._trials, self._left = trials, TimeLeft(trials, total_s)
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=LIVE_HZ, transient=True
        )
        self._live.start()

    def trial_started(self, trial: Trial) -> None:
        if self._trial is not None and self._trial.experiment.name != trial.experiment.name:
            self._charts.clear()
        self._trial = trial
        self._left.start(trial)
        self._charts[trial.arm] = []
        self._zero.pop(trial.arm, None)

    def sampled(self, trial: Trial, line: SampleLine) -> None:
        used = node_in_use_bytes(line.values[NODE])
        if used is None:
            return
        zero = self._zero.setdefault(trial.arm, used)
        self._charts[trial.arm].append((line.t_s, used - zero))

    def trial_ended(self, trial: Trial, record: TrialRecord) -> None:
        self._left.end(trial)
        if record.status is not TrialStatus.OK:
            self._problems.append(f"{record.id} {record.status}: {record.error}")

    def run_ended(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        for problem in self._problems:
            self._console.print(paragraph(problem, "yellow"))

    def _render(self) -> RenderableType:
        chart = [] if self._trial is None else self._chart_lines(self._trial)
        problems = [words((problem, "yellow")) for problem in self._problems[-3:]]
        return lines([self._headline(), *chart, *problems])

    def _headline(self) -> Words:
        if self._trial is None:
            return words("starting")
        where = describe_trial(self._trial, len(self._trials))
        left = f"   {format_duration(self._left.seconds())} left"
        return words((where, "bold"), left)

    def _chart_lines(self, trial: Trial) -> list[Words]:
        width = max(10, min(self._console.width - 30, 100))
        top = max((v for chart in self._charts.values() for _, v in chart), default=0.0)
        shown = [words(("node memory in use, above the trial's start", "dim"))]
        for arm in (a for a in Arm if a in self._charts):
            chart = self._charts[arm]
            bars = draw_bars(
                chart, trial.duration_s, top, width, utf8=self._console.encoding.startswith("utf")
            )
            now = f" {chart[-1][1] / GIB:5.2f} GiB" if chart else ""
            shown.append(words((f"{arm:>7} {bars}{now}", ARM_COLOURS[arm])))
        return shown


def describe_trial(trial: Trial, count: int) -> str:
    """Describe which trial of how many: "trial 4 of 12  cycle on vm-fpr, repeat 2"."""
    which = "warm-up, not counted" if trial.warmup else f"repeat {trial.repeat + 1}"
    return f"trial {trial.order + 1} of {count}  {trial.experiment.name} on {trial.arm}, {which}"


def draw_bars(
    chart: Sequence[tuple[float, float]], duration_s: float, top: float, width: int, *, utf8: bool
) -> str:
    """Draw (time, bytes) as one line of `width` characters from time 0 to duration_s; blank where nothing was seen."""
    glyphs = _BARS if utf8 else _ASCII_BARS
    cells: list[float | None] = [None] * width
    for t_s, value in chart:
        cell = int(t_s / duration_s * width) if duration_s > 0 else 0
        if 0 <= cell < width:
            cells[cell] = max(value, cells[cell] or 0.0)
    return "".join(_glyph(value, top, glyphs) for value in _fill(cells))


def _fill(cells: list[float | None]) -> list[float | None]:
    """Carry a value over cells that are narrower than the sampling interval."""
    last = max((n for n, value in enumerate(cells) if value is not None), default=-1)
    filled: list[float | None] = []
    for n, value in enumerate(cells):
        filled.append(value if value is not None or n > last or not filled else filled[-1])
    return filled


def _glyph(value: float | None, top: float, glyphs: str) -> str:
    if value is None or top <= 0:
        return " "
    return glyphs[max(1, min(len(glyphs) - 1, round(max(value, 0.0) / top * (len(glyphs) - 1))))]

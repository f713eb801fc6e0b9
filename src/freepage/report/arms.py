"""Looks of each arm, everywhere it is shown: the article's colours, told apart by dash as well."""

from __future__ import annotations

from dataclasses import dataclass

from freepage.records import Arm


@dataclass(frozen=True)
class ArmStyle:
    """The looks of one arm: colour (CSS), dash of its line (Vega's, "on, off" in pixels), words, colour in a terminal."""

    colour: str
    dash: tuple[int, ...]
    words: str
    terminal: str

    @property
    def svg_dash(self) -> str:
        return " ".join(map(str, self.dash))


ARM_STYLES = {
    Arm.POD: ArmStyle("#1b9e77", (7, 3), "pod", "green"),
    Arm.VM: ArmStyle("#d1462f", (2, 2), "vm (FPR off)", "red"),
    Arm.VM_FPR: ArmStyle("#2f6fc4", (1, 0), "vm-fpr (FPR on)", "blue"),
    Arm.BASELINE: ArmStyle("#8a6d3b", (10, 3, 2, 3), "baseline (no other instances)", "yellow"),
    Arm.CONTROL: ArmStyle("#7b5ea7", (4, 4), "control (the same arm once more)", "magenta"),
}
# What is drawn beside the arms: the schedule's demand, a prediction, a device.
REFERENCE_COLOUR = "#8a8f98"

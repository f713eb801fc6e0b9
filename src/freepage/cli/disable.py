"""Disable FPR in a cluster, or for single VMs of it; shows the change first, and keeps what was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freepage.cli.switching import add_switch_arguments, switch

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_switch_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    return switch(options, enabled=False)

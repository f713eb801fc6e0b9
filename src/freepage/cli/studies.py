"""List the built-in studies, or print one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="STUDY", help="print this study's TOML, to copy and change"
    )


def execute(options: argparse.Namespace) -> int:
    from freepage.errors import StudyError
    from freepage.study.read import builtin_studies

    texts = builtin_studies()
    if options.name is None:
        for name, text in texts.items():
            print(f"{name:10} {_describe(text, name)}")
        return 0
    if options.name not in texts:
        raise StudyError(
            f"there is no built-in study {options.name!r}", hint=f"there are: {', '.join(texts)}"
        )
    print(texts[options.name], end="")
    return 0


def _describe(text: str, name: str) -> str:
    from freepage.study.points import is_point
    from freepage.study.read import parse_study

    study = parse_study(text, f"{name}.toml")
    names = dict.fromkeys(e.kind.name if is_point(e) else e.name for e in study.experiment)
    return f"{study.title}  (experiments: {', '.join(names)})"

"""A study read from a built-in or a user's TOML file."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from freepage.errors import StudyError
from freepage.study.file import ExperimentFile, StudyFile
from freepage.study.group_file import AnyGroupFile, CommandGroupFile
from freepage.study.lines import explain
from freepage.study.overrides import apply_override
from freepage.study.points import expand_maps


def builtin_studies() -> dict[str, str]:
    """Return the text of every built-in study by name."""
    folder = resources.files("freepage.study") / "builtin"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name.removesuffix(".toml"): f.read_text(encoding="utf-8") for f in files}


def read_study(name_or_path: str, overrides: tuple[str, ...] = ()) -> tuple[StudyFile, str]:
    """Return a study and its text: a built-in one by name, or a TOML file by path.

    Raises StudyError when there is neither, or when the study is wrong.
    """
    builtin = builtin_studies()
    path = Path(name_or_path)
    if name_or_path in builtin:
        return parse_study(builtin[name_or_path], f"{name_or_path}.toml", overrides), builtin[name_or_path]
    if not path.is_file():
        raise StudyError(
            f"there is no study {name_or_path!r}",
            hint=f"built in are {', '.join(builtin)}; anything else must be the path of a TOML file",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}") from error
    return _resolve_folders(parse_study(text, str(path), overrides), path.parent), text


def parse_study(text: str, source: str, overrides: tuple[str, ...] = ()) -> StudyFile:
    """Return the study in TOML text, its maps as their points; `overrides` are "key=value" or "experiment.key=value".

    Raises StudyError that names `source`, the line, what is wrong and what was meant.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{source} is not TOML: {error}") from error
    for override in overrides:
        apply_override(content, override)
    try:
        return expand_maps(StudyFile.model_validate(content))
    except ValidationError as error:
        raise explain(error.errors(), content, text, source) from error


def _resolve_folders(file: StudyFile, home: Path) -> StudyFile:
    """Return the study with its folders as seen from the study's own; StudyError names one that is not there."""
    experiments = tuple(
        e.model_copy(update={"groups": tuple(_resolve_folder(e, g, home) for g in e.groups)})
        for e in file.experiment
    )
    return file.model_copy(update={"experiment": experiments})


def _resolve_folder(experiment: ExperimentFile, group: AnyGroupFile, home: Path) -> AnyGroupFile:
    if not isinstance(group, CommandGroupFile) or group.folder is None:
        return group
    folder = (home / group.folder).resolve()
    if not folder.is_dir():
        raise StudyError(
            f"experiment {experiment.name}: the folder {folder} is not there",
            hint="folder = is taken as seen from the study's file",
        )
    return group.model_copy(update={"folder": str(folder)})

from __future__ import annotations

import pytest

from freepage.errors import StudyError
from freepage.study.read import read_study
from helpers.studies import read


def test_an_unknown_study_is_refused_with_what_is_built_in():
    with pytest.raises(StudyError, match=r"cycle, guest-io, host-io, map, quick, random"):
        read("quik")


def test_a_commands_folder_is_seen_from_the_studys_and_has_to_be_there(tmp_path):
    study = tmp_path / "own.toml"
    study.write_text(
        'name = "own"\n[[experiment]]\nkind = "command"\ncommand = ["/tools/opt/x"]\nfolder = "mine"\n'
    )
    with pytest.raises(StudyError, match=r"experiment command: the folder .*mine is not there"):
        read_study(str(study))
    (tmp_path / "mine").mkdir()
    assert read_study(str(study))[0].experiment[0].groups[0].folder == str(tmp_path / "mine")


def test_the_folder_of_one_group_among_several_is_seen_from_the_studys_too(tmp_path):
    study = tmp_path / "own.toml"
    study.write_text(
        'name = "own"\n[[experiment]]\nkind = "command"\n[[experiment.group]]\nkind = "command"\n'
        'command = ["/tools/opt/x"]\nfolder = "mine"\n'
    )
    (tmp_path / "mine").mkdir()
    assert read_study(str(study))[0].experiment[0].groups[0].folder == str(tmp_path / "mine")

"""Programs for instances, made without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from freepage.errors import HostError, StudyError
from freepage.image import tools
from freepage.image.programs import find_program
from freepage.image.tools import build_tools
from freepage.study.plan import ToolsPlan
from freepage.units import MIB


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def listed(image, folder):
    said = subprocess.run(
        [find_program("debugfs"), "-R", f"ls -p {folder}", image],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split("/")[5] for line in said.stdout.splitlines() if line.startswith("/")}


def run_inside(made, *argv):
    """Run a program with the tools as its root."""
    # root may be refused a user namespace, as in a chroot; others need one.
    changed = ["chroot"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "chroot"]
    said = subprocess.run(
        [*changed, made.folder, *argv],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_programs_stand_in_a_root_of_their_own_and_run_there(tmp_path):
    made = build_tools(ToolsPlan(programs=("ls",)))
    assert "usr" in run_inside(made, "/bin/ls", "/").split()
    assert "ls" in listed(made.image, "/usr/bin")
    assert build_tools(ToolsPlan(programs=("ls",))) == made


def test_a_users_folder_and_the_interpreter_of_a_script_come_along(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "measure.sh").write_text("#!/bin/sh\necho hi\n")
    made = build_tools(ToolsPlan(folder=str(folder)))
    assert "measure.sh" in listed(made.image, "/opt")
    assert "sh" in listed(made.image, "/usr/bin")
    (folder / "more").write_text("x")
    assert "more" in listed(build_tools(ToolsPlan(folder=str(folder))).image, "/opt")


def test_a_program_that_is_not_installed_is_named_with_what_installs_it():
    with pytest.raises(HostError, match="nonesuch is not installed") as caught:
        build_tools(ToolsPlan(programs=("nonesuch",)))
    assert caught.value.hint == "apt-get install nonesuch"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StudyError, match="nowhere is not there"):
        build_tools(ToolsPlan(folder=str(tmp_path / "nowhere")))


def test_a_script_runs_with_all_that_its_first_line_names(tmp_path, monkeypatch):
    write_program(tmp_path / "programs/greet", "#!/usr/bin/env -S sh -e\necho hi\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/programs:{os.environ['PATH']}")
    assert run_inside(build_tools(ToolsPlan(programs=("greet",))), "/bin/greet") == "hi\n"


def compile_with_a_library_in(folder):
    """Compile a program whose library is in a folder no loader looks at by itself."""
    (folder / "lib").mkdir(parents=True)
    (folder / "answer.c").write_text("int answer(void) { return 0; }\n")
    (folder / "main.c").write_text("int answer(void);\nint main(void) { return answer(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "lib/libanswer.so", "answer.c"], cwd=folder, check=True)
    command = ["cc", "-o", "asks", "main.c", "-Llib", "-lanswer", f"-Wl,-rpath,{folder}/lib"]
    subprocess.run(command, cwd=folder, check=True)


def test_a_library_in_a_folder_of_its_own_is_found(tmp_path, monkeypatch):
    compile_with_a_library_in(tmp_path / "odd")
    monkeypatch.setenv("PATH", f"{tmp_path}/odd:{os.environ['PATH']}")
    run_inside(build_tools(ToolsPlan(programs=("asks",))), "/bin/asks")


def test_programs_in_a_users_folder_have_their_libraries(tmp_path):
    compile_with_a_library_in(tmp_path / "odd")
    (tmp_path / "mine").mkdir()
    shutil.move(tmp_path / "odd/asks", tmp_path / "mine/asks")
    run_inside(build_tools(ToolsPlan(folder=str(tmp_path / "mine"))), "/opt/asks")


def test_what_a_users_folder_lacks_does_not_keep_it_from_being_used(tmp_path):
    write_program(tmp_path / "mine/odd.sh", "#!/usr/bin/nonesuch\n")
    write_program(tmp_path / "mine/good.sh", "#!/bin/sh\necho good\n")
    (tmp_path / "mine/gone").symlink_to("nowhere")
    made = build_tools(ToolsPlan(folder=str(tmp_path / "mine")))
    assert run_inside(made, "/opt/good.sh") == "good\n"
    assert (made.folder / "opt/gone").readlink() == Path("nowhere")


def test_a_folder_of_very_many_small_files_fits_its_image(tmp_path, monkeypatch):
    # As many for an image with little to spare as 6,000 are for one with all its slack.
    monkeypatch.setattr(tools, "_SLACK_BYTES", MIB)
    (tmp_path / "mine").mkdir()
    for number in range(600):
        (tmp_path / f"mine/{number}").write_text("x")
    made = build_tools(ToolsPlan(folder=str(tmp_path / "mine")))
    assert "599" in listed(made.image, "/opt")


def test_what_cannot_be_copied_is_named(tmp_path):
    (tmp_path / "mine").mkdir()
    os.mkfifo(tmp_path / "mine/pipe")
    with pytest.raises(StudyError, match=r"mine/pipe cannot be copied for the instances: .*named pipe"):
        build_tools(ToolsPlan(folder=str(tmp_path / "mine")))


def test_tools_that_another_run_made_meanwhile_are_taken(tmp_path):
    home = tmp_path / "home"
    for name in ("home", "made"):
        (tmp_path / name / "root").mkdir(parents=True)
    tools._keep(tmp_path / "made", home)
    assert (home / "root").is_dir()
    with pytest.raises(OSError, match="nowhere"):
        tools._keep(tmp_path / "made", tmp_path / "nowhere/home")

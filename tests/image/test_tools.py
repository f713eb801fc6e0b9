"""Programs and file systems for instances, made without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from freepage.errors import CapacityError, HostError, StudyError
from freepage.image import disk, tools
from freepage.image.disk import find_maker, open_disk, run_on_disk
from freepage.image.tools import build_tools, parse_ldd, parse_shebang
from freepage.study.plan import DataPlan, ToolsPlan
from freepage.units import GIB, MIB

LDD = """\tlinux-vdso.so.1 (0x00007ffd)
\tlibaio.so.1 => /lib/x86_64-linux-gnu/libaio.so.1 (0x00007f10)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f20)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def listed(image, folder):
    said = subprocess.run(
        [tools.find_program("debugfs"), "-R", f"ls -p {folder}", image],
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split("/")[5] for line in said.stdout.splitlines() if line.startswith("/")}


def test_libraries_and_the_loader_are_read_from_what_ldd_prints():
    assert parse_ldd(LDD) == [
        Path("/lib/x86_64-linux-gnu/libaio.so.1"),
        Path("/lib/x86_64-linux-gnu/libc.so.6"),
        Path("/lib64/ld-linux-x86-64.so.2"),
    ]
    assert parse_ldd("\tnot a dynamic executable\n") == []


def test_a_library_that_is_missing_is_named():
    with pytest.raises(HostError, match=r"libodd.so.3, which is not installed"):
        parse_ldd("\tlibodd.so.3 => not found\n")


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


@pytest.mark.parametrize(
    ("head", "programs"),
    [
        (b"#!/bin/sh\n", ["/bin/sh"]),
        (b"#! /bin/sh -e\necho", ["/bin/sh"]),
        (b"#!/usr/bin/env python3\n", ["/usr/bin/env", "python3"]),
        (b"#!/usr/bin/env -S LANG=C sh -e\n", ["/usr/bin/env", "sh"]),
        (b"#!\n", []),
        (b"plain text", []),
        (b"", []),
    ],
)
def test_a_scripts_programs_are_read_from_its_first_line(head, programs):
    assert parse_shebang(head) == programs


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


@pytest.mark.parametrize(("filesystem", "magic", "at"), [("ext4", b"\x53\xef", 1080), ("xfs", b"XFSB", 0)])
def test_a_disk_has_its_file_system_no_name_and_takes_no_room_yet(tmp_path, filesystem, magic, at):
    folder = tmp_path / "trial"
    folder.mkdir()
    with open_disk(folder, DataPlan(filesystem, 320 * MIB)) as file:
        status = os.fstat(file.fileno())
        assert os.pread(file.fileno(), len(magic), at) == magic
        assert list(folder.iterdir()) == []
    assert (status.st_size, status.st_nlink) == (320 * MIB, 0)
    assert status.st_blocks * 512 < 80 * MIB


def test_a_disk_that_does_not_fit_is_refused_with_what_is_free(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=GIB))
    with pytest.raises(CapacityError, match=r"a disk of 2\.00 GiB does not fit: .* has 1\.00 GiB free"):
        open_disk(tmp_path, DataPlan("ext4", 2 * GIB))


def test_a_program_that_fails_on_a_disk_is_named_with_what_it_said(tmp_path):
    with (
        (tmp_path / "disk").open("w+b") as file,
        pytest.raises(HostError, match=r"ls failed: .*unrecognized"),
    ):
        run_on_disk(["ls", "--nonesuch"], file)


def test_a_file_system_nobody_can_make_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(tools, "_SYSTEM_FOLDERS", "")
    with pytest.raises(HostError, match=r"mkfs.xfs is not installed, so there is no xfs") as caught:
        find_maker("xfs")
    assert caught.value.hint == "apt-get install xfsprogs"

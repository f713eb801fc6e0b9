"""How the worker becomes a binary: once, static, without warnings, and what is said when it cannot."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from freepage.cache import cache_folder
from freepage.errors import HostError
from freepage.worker import build
from freepage.worker.build import build_worker, compile_static, find_compiler, list_worker_sources

HELLO = "int main(void) { return 7; }\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "hello.c"
    path.write_text(HELLO)
    return path


def write_program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


def test_a_program_is_built_once_and_found_again(cache, source, monkeypatch):
    first = compile_static(source)
    assert first.is_relative_to(cache / "freepage")
    assert subprocess.run([first], check=False).returncode == 7
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("it was built again"))
    assert compile_static(source) == first


def test_another_source_another_binary(cache, source):
    first = compile_static(source)
    source.write_text(HELLO.replace("7", "8"))
    second = compile_static(source)
    assert first != second
    assert subprocess.run([second], check=False).returncode == 8
    assert subprocess.run([first], check=False).returncode == 7


def test_another_header_another_binary(cache, source):
    source.write_text('#include "status.h"\nint main(void) { return STATUS; }\n')
    binaries = []
    for status in (3, 4):
        source.with_name("status.h").write_text(f"#define STATUS {status}\n")
        binaries.append(compile_static(source))
    assert [subprocess.run([b], check=False).returncode for b in binaries] == [3, 4]


def test_parts_are_compiled_together_each_counts_and_the_same_give_the_same_bytes(tmp_path, monkeypatch):
    main, part = tmp_path / "main.c", tmp_path / "part.c"
    main.write_text("int status(void);\nint main(void) { return status(); }\n")
    binaries = []
    for cache_name, status in (("one", 3), ("two", 3), ("two", 4)):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache_name))
        part.write_text(f"int status(void);\nint status(void) {{ return {status}; }}\n")
        binaries.append(compile_static(main, part))
    assert [subprocess.run([b], check=False).returncode for b in binaries] == [3, 3, 4]
    assert binaries[0].read_bytes() == binaries[1].read_bytes()
    assert {binary.name for binary in binaries} == {"main"}


def test_another_compiler_another_binary(cache, source, tmp_path, monkeypatch):
    first = compile_static(source)
    real = find_compiler()[0]
    other = write_program(
        tmp_path / "bin" / "mycc", f'[ "$1" = --version ] && echo mine && exit\nexec {real} "$@"\n'
    )
    monkeypatch.setenv("CC", str(other))
    assert compile_static(source) != first


def test_a_compiler_may_be_given_with_arguments(cache, source, monkeypatch):
    monkeypatch.setenv("CC", f"{find_compiler()[0]} -DUNUSED=1")
    assert find_compiler()[1:] == ["-DUNUSED=1"]
    assert compile_static(source).exists()


def test_builds_side_by_side_give_one_whole_binary_and_no_scraps(cache, source):
    with ThreadPoolExecutor(4) as pool:
        binaries = set(pool.map(lambda _: compile_static(source), range(4)))
    (binary,) = binaries
    assert [p.name for p in binary.parent.iterdir()] == ["hello"]
    assert subprocess.run([binary], check=False).returncode == 7


@pytest.mark.parametrize(
    ("version", "whole"), [("cc (Debian 12.2.0-14) 12.2.0", True), ("Debian clang version 14", False)]
)
def test_only_a_compiler_that_brings_its_linker_compiles_the_program_as_a_whole(version, whole):
    assert (build.WHOLE_PROGRAM in build.choose_flags(version)) == whole


def test_the_worker_is_static():
    assert b"/ld-" not in build_worker().read_bytes()[:4096]
    assert build_worker().read_bytes()[:4] == b"\x7fELF"


@pytest.mark.long
@pytest.mark.parametrize("flag", ["-std=c11", "-funsigned-char", "-O3", "-Wconversion"])
def test_the_worker_compiles_without_warnings_elsewhere_too(flag, tmp_path):
    """A strict standard, the plain char of arm64, another optimiser, every conversion."""
    flags = [*build.FLAGS, "-pedantic", flag]
    outcome = subprocess.run(
        [*find_compiler(), *flags, "-o", str(tmp_path / "worker"), *list_worker_sources()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr


def test_without_a_compiler_the_error_names_the_packages(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(HostError, match="no C compiler") as caught:
        build_worker()
    assert "apt-get install gcc libc6-dev" in caught.value.hint
    assert "dnf install gcc glibc-static" in caught.value.hint


def test_a_compiler_that_was_chosen_and_is_not_there_is_not_replaced_in_silence(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -O3")
    with pytest.raises(HostError, match=r"\$CC names 'no-such-compiler'"):
        find_compiler()


def test_without_a_static_c_library_the_error_says_so_and_leaves_nothing(cache, tmp_path, monkeypatch):
    broken = write_program(tmp_path / "bin" / "cc", "echo 'ld: cannot find -lc' >&2\nexit 1\n")
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(HostError, match=r"cannot build worker\.c:\nld: cannot find -lc") as caught:
        build_worker()
    assert "glibc-static" in caught.value.hint
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_a_cache_that_cannot_be_made_is_an_error_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HostError, match="cannot make the cache folder") as caught:
        cache_folder()
    assert "XDG_CACHE_HOME" in caught.value.hint


@pytest.mark.parametrize("chosen", [None, "", "relative/folder"])
def test_without_an_absolute_choice_the_cache_is_below_home(chosen, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    if chosen is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    assert cache_folder() == tmp_path / ".cache/freepage"
    assert (tmp_path / ".cache/freepage").is_dir()

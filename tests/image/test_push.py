"""Pushing by whichever program is there."""

from __future__ import annotations

import pytest

from freepage.errors import HostError
from freepage.image.oci import read_image
from freepage.image.push import PULLED, PUSHERS, build_commands, push_image
from freepage.image.reference import parse_reference
from helpers.pretended import pretend

REFERENCE = parse_reference("q.example/me/x:1")


def test_the_best_program_there_is_pushes(tmp_path, layout, programs):
    pretend(programs, "crane", "exit 1")
    pretend(programs, "skopeo", f'echo "$@" > {tmp_path}/told')
    pushed = push_image(layout, REFERENCE, insecure=True)
    assert (pushed.program, pushed.digest) == ("skopeo", read_image(layout).digest)
    options = "--dest-tls-verify=false --insecure-policy"
    assert (
        tmp_path / "told"
    ).read_text() == f"copy {options} oci:{layout}:latest docker://q.example/me/x:1\n"


def test_podman_pushes_what_it_has_pulled_and_says_what_became_of_it(tmp_path, layout, programs):
    pretend(programs, "podman", f'echo "$@" >> {tmp_path}/told; echo pulling; echo 0123abcd')
    pushed = push_image(layout, REFERENCE, insecure=False)
    assert (pushed.program, pushed.digest) == ("podman", "0123abcd")
    pulled, told = (tmp_path / "told").read_text().splitlines()
    assert pulled == f"pull --quiet oci:{layout}:latest"
    assert told == "push --digestfile=/dev/stdout 0123abcd q.example/me/x:1"


def test_what_the_program_says_is_shown(layout, programs):
    pretend(programs, "skopeo", "echo unauthorized: access denied >&2; exit 1")
    with pytest.raises(HostError, match="unauthorized: access denied") as caught:
        push_image(layout, REFERENCE, insecure=False)
    assert "log in with skopeo" in caught.value.hint


@pytest.mark.usefixtures("programs")
def test_without_a_program_every_command_is_shown(layout):
    with pytest.raises(HostError, match="no program that pushes") as caught:
        push_image(layout, REFERENCE, insecure=False)
    for name in PUSHERS:
        assert f"{name} " in caught.value.hint
    assert PULLED in caught.value.hint
    assert "tls" not in caught.value.hint


@pytest.mark.parametrize("name", PUSHERS)
def test_every_program_is_told_of_a_registry_without_a_certificate(tmp_path, name):
    told = [build_commands(name, tmp_path, REFERENCE, insecure=insecure) for insecure in (False, True)]
    secure, insecure = ([word for command in commands for word in command] for commands in told)
    assert [word for word in insecure if word not in secure] == [PUSHERS[name].insecure]

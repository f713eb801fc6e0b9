"""Files of a guest, read through its agent: a model of it, which answers, is silent or refuses."""

from __future__ import annotations

import pytest

from freepage.hosts import guest_agent
from freepage.hosts.guest_agent import AgentError, open_agent
from helpers.fake_agent import FakeAgent

TEXT = "Node 0, zone   Normal     88     40     25\n" * 200


async def read(agent, tmp_path, path="/proc/buddyinfo"):
    async with agent.listen(tmp_path / "qga"), open_agent(tmp_path / "qga") as connected:
        return await connected.read_file(path)


async def test_a_file_is_read_in_pieces_and_closed(tmp_path):
    agent = FakeAgent({"/proc/buddyinfo": TEXT}, piece_bytes=1000)
    assert await read(agent, tmp_path) == TEXT
    assert agent.asked.count("guest-file-read") == 9
    assert agent.left_open == 0
    assert set(agent.asked) == {
        "guest-sync-delimited",
        "guest-file-open",
        "guest-file-read",
        "guest-file-close",
    }


async def test_an_empty_file_is_an_empty_text(tmp_path):
    assert await read(FakeAgent({"/proc/buddyinfo": ""}), tmp_path) == ""


@pytest.mark.parametrize(
    "stale", [b'{"return": 7}\n', b'\xff{"return": 7}\n', b'{"error": {"desc": "stray"}}\nhalf']
)
async def test_what_the_agent_still_had_to_say_to_somebody_else_is_skipped(tmp_path, stale):
    assert await read(FakeAgent({"/proc/buddyinfo": TEXT}, stale=stale), tmp_path) == TEXT


async def test_a_command_that_is_forbidden_gives_the_agents_words_and_where_to_allow_it(tmp_path):
    with pytest.raises(AgentError, match="guest-file-open has been disabled") as caught:
        await read(FakeAgent({}, refused=["guest-file-open"]), tmp_path)
    assert "qemu-ga.conf" in caught.value.hint


async def test_a_file_that_may_be_opened_and_not_read_is_closed_again(tmp_path):
    agent = FakeAgent({"/proc/buddyinfo": TEXT}, refused=["guest-file-read"])
    with pytest.raises(AgentError, match="guest-file-read has been disabled"):
        await read(agent, tmp_path)
    assert agent.left_open == 0


async def test_a_file_that_is_not_there_is_refused_by_the_agent(tmp_path):
    with pytest.raises(AgentError, match="failed to open file"):
        await read(FakeAgent({}), tmp_path)


@pytest.mark.parametrize("command", ["guest-sync-delimited", "guest-file-open", "guest-file-read"])
async def test_an_agent_that_is_silent_is_given_up(tmp_path, monkeypatch, command):
    monkeypatch.setattr(guest_agent, "DEADLINE_S", 0.02)
    with pytest.raises(AgentError, match=f"does not answer {command}") as caught:
        await read(FakeAgent({"/proc/buddyinfo": TEXT}, silent=[command]), tmp_path)
    assert "libvirt" in caught.value.hint


@pytest.mark.parametrize("answer", [b"", b"\xff[1]\n", b"\xffnonsense\n", b"\xff" + b"[" * 100_000 + b"\n"])
async def test_an_agent_that_talks_nonsense_or_hangs_up_is_given_up(tmp_path, answer):
    class Babbler(FakeAgent):
        async def _talk(self, reader, writer):
            writer.write(answer)
            writer.close()

    with pytest.raises(AgentError, match="gives no answer to guest-sync-delimited"):
        await read(Babbler({}), tmp_path)


async def test_nobody_at_the_socket_is_said(tmp_path):
    with pytest.raises(AgentError, match=r"cannot reach a guest's agent at .*No such file"):
        async with open_agent(tmp_path / "qga"):
            pytest.fail("nobody answers")

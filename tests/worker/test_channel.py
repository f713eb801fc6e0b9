"""Channels over streams that break."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from freepage.errors import FreepageError
from freepage.worker import channel as channels
from freepage.worker.channel import Reconnected, ReconnectingChannel


class Script:
    """A stream that gives what it is told to, then breaks."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.written = b""

    async def read(self):
        await asyncio.sleep(0)
        if not self.parts:
            raise ConnectionResetError("gone")
        part = self.parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return part

    async def write(self, data):
        self.written += data


def channel_over(*streams, **options):
    waiting = list(streams)

    @asynccontextmanager
    async def open_stream():
        stream = waiting.pop(0) if waiting else ConnectionRefusedError("refused")
        if isinstance(stream, Exception):
            raise stream
        yield stream

    return ReconnectingChannel(open_stream, **options)


async def read_all(channel):
    """Give lines, None for each new connection, until the channel fails."""
    found = []
    while True:
        try:
            found.append(await channel.read_line())
        except Reconnected:
            found.append(None)
        except Exception as error:  # noqa: BLE001 - whatever it is ends it
            await channel.close()
            return found, error


async def test_lines_are_put_together_and_what_a_break_cuts_off_is_dropped(impatient, monkeypatch):
    monkeypatch.setattr(channels, "RECONNECT_DEADLINE_S", 0.1)
    streams = [Script(b"one\r\ntw", b"o\n\r\n\nthr"), Script(b"four\n", b""), Script(b"five\n")]
    found, error = await read_all(channel_over(*streams))
    assert found == [None, b"one\n", b"two\n", None, b"four\n", None, b"five\n"]
    assert "there was no connection for 0 s: refused" in str(error)
    assert [stream.written for stream in streams] == [b"\n"] * 3


async def test_a_cluster_that_says_no_is_asked_again_unless_that_is_final(impatient):
    class ForbiddenError(FreepageError):
        pass

    refusals = [FreepageError("not yet"), OSError("reset")]
    final = ForbiddenError("you may not")
    found, error = await read_all(channel_over(*refusals, Script(b"x\n"), final, final=(ForbiddenError,)))
    assert found == [None, b"x\n"]
    assert error is final


async def test_a_mistake_in_opening_is_raised_where_lines_are_read(impatient):
    found, error = await read_all(channel_over(KeyError("what")))
    assert (found, type(error)) == ([], KeyError)


async def test_a_connection_that_is_silent_for_too_long_is_replaced(impatient, monkeypatch):
    monkeypatch.setattr(channels, "SILENCE_S", 0.05)

    class Silent(Script):
        async def read(self):
            await asyncio.sleep(3600)

    channel = channel_over(Silent(), Script(b"here\n"))
    for expected in (Reconnected, Reconnected):
        with pytest.raises(expected):
            await channel.read_line()
    assert await channel.read_line() == b"here\n"
    await channel.close()


async def test_a_line_written_while_there_is_no_connection_is_lost_without_an_error(impatient, monkeypatch):
    monkeypatch.setattr(channels, "RECONNECT_DEADLINE_S", 0.05)
    channel = channel_over()
    await channel.write_line(b"nobody hears this")
    _, error = await read_all(channel)
    assert isinstance(error, OSError)
    with pytest.raises(OSError, match="no connection"):
        await channel.write_line(b"too late")

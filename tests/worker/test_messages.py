"""Lines from a worker: each is a message with checked fields, or a ValueError."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from freepage.worker.messages import parse_message
from helpers.played_worker import STEP

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_message_or_a_value_error(line):
    refused_or_parsed(line)


@given(st.sampled_from(sorted(STEP)), ANY_JSON)
def test_an_event_with_any_value_in_any_field_is_a_message_or_a_value_error(key, value):
    refused_or_parsed(json.dumps(STEP | {key: value}).encode())


def refused_or_parsed(line):
    try:
        message = parse_message(line)
    except ValueError:
        return
    assert message["type"] in {
        "step",
        "error",
        "ready",
        "pong",
        "loaded",
        "started",
        "text",
        "waiting",
        "process-ended",
        "done",
    }

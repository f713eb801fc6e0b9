"""The objects in a document, however they are packed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.kube.object_lists import NoObject, list_objects

POD, NODE = {"apiVersion": "v1", "kind": "Pod"}, {"apiVersion": "v1", "kind": "Node"}


def build_list(*items, kind="List"):
    return {"apiVersion": "v1", "kind": kind, "items": list(items), "metadata": {"resourceVersion": ""}}


@pytest.mark.parametrize(
    "document",
    [
        build_list(POD, NODE),
        build_list(build_list(POD), build_list(), build_list(build_list(NODE))),
        {"items": [POD, NODE]},
        [POD, NODE],
        [[POD], {"type": "ADDED", "object": NODE}],
        [{"type": "MODIFIED", "object": POD}, {"type": "DELETED", "object": POD}, NODE],
    ],
    ids=["list", "nested", "without kind", "array", "watched", "deleted"],
)
def test_lists_of_every_kind_are_opened_in_their_order(document):
    assert list(list_objects(document)) == [POD, NODE]


def test_the_items_of_a_list_of_one_kind_take_their_kind_from_it():
    items = [{"metadata": {"name": "a"}}, {"kind": "Other"}]
    listed = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineList", "items": items}
    assert list(list_objects(listed)) == [
        {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "a"}},
        {"kind": "Other"},
    ]


@pytest.mark.parametrize("items", [[], None])
def test_an_empty_list_has_no_objects_and_no_faults(items):
    assert list(list_objects({"kind": "List", "items": items})) == []
    assert list(list_objects({"kind": "List"})) == []


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (5, "a number, and no object"),
        ("NAME AGE", "a string, and no object"),
        (None, "null, and no object"),
        ({"a": 1}, "an object without a kind"),
        ({"kind": ["Pod"]}, "an object whose kind is a list"),
        ({"kind": ""}, "an object whose kind is empty"),
        (
            {"kind": "Status", "status": "Failure", "message": "vms is forbidden"},
            "the API's answer that it failed: vms is forbidden",
        ),
        ({"kind": "PodList", "items": "none"}, None),
        ({"kind": "AccessList", "spec": {}}, None),
    ],
)
def test_what_is_no_object_is_said(value, why):
    found = list(list_objects([value]))
    assert found == [NoObject(why) if why else value]


def test_lists_without_end_are_not_followed():
    document = POD
    for _ in range(200):
        document = [document]
    assert list(list_objects(document)) == [NoObject("lists within lists, more than 50 deep")]


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=2) | st.just(POD),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["kind", "items", "type", "object"]), inner)
        ),
        max_leaves=8,
    )
)
def test_every_value_is_objects_or_none(document):
    for each in list_objects(document):
        assert isinstance(each, NoObject) or isinstance(each["kind"], str)

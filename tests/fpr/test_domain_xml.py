"""The balloon of a libvirt domain, and the dump in a launcher's log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.domain_xml import Balloon, find_domain_xml, parse_balloon
from helpers.fake_cluster import domain_xml, launcher_log


@pytest.mark.parametrize(
    ("balloon", "found"),
    [
        ('model="virtio-non-transitional" freePageReporting="on"', Balloon("virtio-non-transitional", True)),
        ('model="virtio" freePageReporting="off"', Balloon("virtio", False)),
        ("model='virtio'", Balloon("virtio", False)),
        ('model="none"', Balloon("none", False)),
    ],
)
def test_the_balloon_says_whether_fpr_is_on(balloon, found):
    assert parse_balloon(domain_xml("shop_db", balloon)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error: failed to get domain",
        "<domain/>",
        "<domain><devices/></domain>",
        "<html></html>",
        "<domain>",
    ],
)
def test_what_is_no_domain_with_a_balloon_says_nothing(text):
    assert parse_balloon(text) is None


def test_the_log_holds_the_domain_that_was_defined():
    xml = domain_xml("shop_db")
    assert find_domain_xml(launcher_log(xml)) == xml


def test_of_several_domains_the_last_one_counts():
    log = launcher_log(domain_xml("first")) + launcher_log(domain_xml("last"))
    assert "<name>last</name>" in find_domain_xml(log)


def test_a_log_in_text_is_read_as_well():
    log = launcher_log(domain_xml("shop_db")).replace('"', "'")
    assert "<name>shop_db</name>" in find_domain_xml(log)


def test_a_dump_that_was_cut_off_is_not_believed():
    log = launcher_log(domain_xml("shop_db"))
    end = log.index('", "pos"', log.index("Base64"))
    assert find_domain_xml(log[:end]) is None
    assert find_domain_xml(log[: end + 1]) is not None
    assert find_domain_xml("") is None


@given(st.text())
def test_no_text_is_too_strange(text):
    assert parse_balloon(find_domain_xml(f"Domain XML generated. Base64 dump {text}\n") or text) is None

"""What a guest is and whether it reports: by its agent, by its distribution's kernels, by hints, or not known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freepage.fpr.guests import find_silent_guest, find_silent_hint
from freepage.fpr.systems import OLD_KERNELS, SYSTEMS
from helpers.vm_objects import VMI, changed

YES, NO, UNKNOWN = "reports", "silent", "not known"


def judge(**guest):
    found = find_silent_guest(changed(VMI, "status.guestOSInfo", guest))
    assert not (found.ineffective and found.unknown)
    return NO if found.ineffective else UNKNOWN if found.unknown else YES


def without_agent(annotations=None, features=None, conditions=()):
    vmi = changed(VMI, "status", {"conditions": list(conditions)})
    vmi = changed(vmi, "metadata.annotations", annotations or {})
    return changed(vmi, "spec.domain.features", features)


@pytest.mark.parametrize(
    ("distribution", "release", "verdict"),
    [
        ("rhel", "4.18.0-553.16.1.el8_10.x86_64", YES),
        ("rhel", "4.18.0-305.el8.x86_64", YES),
        ("rhel", "4.18.0-305.rt7.72.el8.x86_64", YES),
        ("rhcos", "4.18.0-372.9.1.el8.x86_64", YES),
        ("almalinux", "4.18.0-348.el8.aarch64", YES),
        ("rocky", "4.18.0-513.5.1.el8_9.x86_64", YES),
        ("cloudlinux", "4.18.0-513.18.1.lve.el8.x86_64", YES),
        ("ol", "4.18.0-477.10.1.el8_8.x86_64", YES),
        ("centos", "4.18.0-240.22.1.el8_3.x86_64", NO),
        ("rhel", "4.18.0-193.el8.x86_64", NO),
        ("rhel", "4.18.0-80.el8.x86_64", NO),
        ("centos", "4.18.0-277.el8.x86_64", UNKNOWN),
        ("rhel", "4.18.0-553", YES),
        ("", "4.18.0-553.el8_10.x86_64", YES),
        ("", "4.18.0-553", NO),
        ("debian", "4.18.0-3-amd64", NO),
        ("rhel", "3.10.0-1160.el7.x86_64", NO),
        ("centos", "4.14.0-115.el7a.aarch64", NO),
        ("centos", "5.4.250-1.el7.elrepo.x86_64", NO),
        ("centos", "6.1.0-1.el8.elrepo.x86_64", YES),
        ("rhel", "5.14.0-70.el9.x86_64", YES),
        ("rhel", "6.12.0-55.el10.x86_64", YES),
        ("scientific", "2.6.32-754.el6.x86_64", NO),
        ("ol", "5.4.17-2136.315.5.el8uek.x86_64", UNKNOWN),
        ("ol", "4.14.35-2047.el7uek.x86_64", UNKNOWN),
        ("ol", "5.15.0-100.96.32.el8uek.x86_64", YES),
        ("sles", "5.3.18-150300.59.161-default", UNKNOWN),
        ("opensuse-leap", "5.3.18-lp152.20.7.1-default", UNKNOWN),
        ("sles", "5.14.21-150500.55.44-default", YES),
        ("sles", "6.4.0-150600.21-default", YES),
        ("sles", "4.12.14-122.37-default", NO),
        ("ubuntu", "5.3.0-1034-azure", NO),
        ("ubuntu", "5.4.0-150-generic", NO),
        ("ubuntu", "5.8.0-63-generic", YES),
        ("ubuntu", "5.15.0-91-generic", YES),
        ("ubuntu", "5.6.0-1033-oem", NO),
        ("debian", "4.19.0-25-amd64", NO),
        ("debian", "5.10.0-28-amd64", YES),
        ("amzn", "4.14.336-257.562.amzn2.x86_64", NO),
        ("amzn", "5.10.205-195.804.amzn2.x86_64", YES),
        ("amzn", "6.1.79-99.164.amzn2023.x86_64", YES),
        ("flatcar", "5.15.142-flatcar", YES),
        ("fedora", "5.6.6-300.fc32.x86_64", NO),
        ("fedora", "5.7.6-201.fc32.x86_64", YES),
        ("cos", "5.4.170+", NO),
        ("cos", "5.10.90+", YES),
        ("openEuler", "4.19.90-2112.8.0.0131.oe1.x86_64", UNKNOWN),
        ("openEuler", "5.10.0-60.18.0.50.oe2203.x86_64", YES),
        ("kylin", "4.19.90-52.22.v2207.ky10.x86_64", UNKNOWN),
        ("anolis", "4.19.91-26.an8.x86_64", UNKNOWN),
        ("alinux", "5.10.134-13.al8.x86_64", YES),
        ("tencentos", "5.4.119-19.0009.tl3", UNKNOWN),
        ("tencentos", "5.4.119-19-0009.11", UNKNOWN),
        ("openEuler", "4.19.90-custom", UNKNOWN),
        ("openEuler", "5.10.0-custom", YES),
        ("virtuozzo", "4.18.0-372.9.1.vz8.1", UNKNOWN),
    ],
)
def test_a_linux_guest_reports_where_its_distributions_kernel_does(distribution, release, verdict):
    assert judge(id=distribution, name="Some Linux", kernelRelease=release) == verdict


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("5.7", YES),
        ("5.7.0-rc1", YES),
        ("5.10-rc1", YES),
        ("6.x-custom", YES),
        ("v6.1", YES),
        ("Linux 6.1", YES),
        ("10.0.1", YES),
        ("5.6.19", NO),
        ("4.x", NO),
        ("4", NO),
        ("5", UNKNOWN),
        ("5.x-custom", UNKNOWN),
        ("custom", UNKNOWN),
        ("20348", UNKNOWN),
        ("-1", UNKNOWN),
        ("", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_an_odd_version_decides_as_far_as_it_can_be_read(release, verdict):
    assert judge(id="mylinux", kernelRelease=release) == verdict


@pytest.mark.parametrize(
    ("guest", "verdict"),
    [
        ({"id": "mswindows", "kernelRelease": "20348", "kernelVersion": "10.0"}, NO),
        ({"name": "Microsoft Windows"}, NO),
        ({"prettyName": "Windows Server 2025 Datacenter"}, NO),
        ({"id": "freebsd", "kernelRelease": "14.0-RELEASE"}, NO),
        ({"kernelRelease": "14.0-RELEASE-p3"}, NO),
        ({"kernelRelease": "15.0-CURRENT"}, NO),
        ({"kernelVersion": "FreeBSD 13.2-STABLE", "kernelRelease": "13.2"}, NO),
        ({"id": "opnsense", "kernelRelease": "13.2"}, NO),
        ({"kernelVersion": "OpenBSD 7.4 (GENERIC.MP)", "kernelRelease": "7.4"}, NO),
        ({"name": "NetBSD", "kernelRelease": "10.0"}, NO),
        ({"kernelVersion": "Darwin Kernel Version 23.1.0", "kernelRelease": "23.1.0"}, UNKNOWN),
        ({"id": "macos", "kernelRelease": "23.1.0"}, UNKNOWN),
        ({"id": "omnios", "kernelRelease": "5.11"}, UNKNOWN),
        ({"name": "SunOS", "kernelRelease": "5.11"}, UNKNOWN),
        ({"id": "haiku", "kernelRelease": "1"}, UNKNOWN),
    ],
)
def test_another_system_is_what_its_own_driver_is_whatever_its_version_looks_like(guest, verdict):
    assert judge(**guest) == verdict


def test_windows_is_silent_unless_its_driver_is_new_and_says_what_to_look_at():
    (words,) = find_silent_guest(changed(VMI, "status.guestOSInfo", {"id": "mswindows"})).ineffective
    assert "virtio-win" in words
    assert "EnableFpr" in words


def test_no_agent_and_an_agent_that_says_nothing_are_told_apart():
    connected = [{"type": "AgentConnected", "status": "True"}]
    assert find_silent_guest(without_agent()).unknown == ("which system the guest runs (no guest agent)",)
    assert find_silent_guest(without_agent(conditions=connected)).unknown == (
        "which system the guest runs (its agent answers, but does not say)",
    )
    named = changed(VMI, "status.guestOSInfo", {"id": "rhel"})
    assert find_silent_guest(named).unknown == ("which kernel the guest runs (its agent says rhel)",)


@pytest.mark.parametrize(
    ("annotations", "features"),
    [
        ({"vm.kubevirt.io/os": "windows2k22"}, None),
        ({"kubevirt.io/cluster-preference-name": "windows.11.virtio"}, None),
        ({}, {"hyperv": {}}),
        ({}, {"hypervPassthrough": {"enabled": True}}),
    ],
)
def test_a_hint_of_windows_is_a_doubt_and_no_verdict(annotations, features):
    vmi = without_agent(annotations, features)
    for found in (find_silent_guest(vmi), find_silent_hint(vmi)):
        assert found.ineffective == ()
        assert "virtio-win" in found.unknown[0]


def test_a_hint_of_linux_says_nothing_of_its_kernel_and_raises_no_doubt_before_the_start():
    vmi = without_agent({"vm.kubevirt.io/os": "fedora"})
    assert "vm.kubevirt.io/os says fedora" in find_silent_guest(vmi).unknown[0]
    assert find_silent_hint(vmi).unknown == ()


def test_what_the_agent_says_outweighs_every_hint():
    vmi = changed(VMI, "metadata.annotations", {"vm.kubevirt.io/os": "windows10"})
    assert find_silent_guest(vmi).unknown == find_silent_guest(vmi).ineffective == ()


def test_every_line_of_the_tables_has_a_source():
    assert all(entry.source for entry in (*SYSTEMS, *OLD_KERNELS))


@given(
    st.dictionaries(
        st.sampled_from(["id", "name", "kernelRelease", "machine"]), st.text(max_size=12) | st.none()
    )
)
def test_whatever_a_guest_says_there_is_one_verdict(guest):
    assert judge(**guest) in {YES, NO, UNKNOWN}

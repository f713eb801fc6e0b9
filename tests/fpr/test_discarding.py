"""Memory that a host cannot take back: protected guests, and what passes by itself."""

from __future__ import annotations

import pytest

from freepage.fpr.discarding import SECURE_EXECUTION, find_undiscardable
from freepage.fpr.passthrough import PermittedDevices
from helpers.vm_objects import VMI, changed

NOTHING = PermittedDevices()


def protected(security, architecture="amd64"):
    vmi = changed(VMI, "spec.domain.launchSecurity", security)
    return find_undiscardable(changed(vmi, "spec.architecture", architecture), NOTHING)


@pytest.mark.parametrize("security", [{}, {"sev": None}, {"sev": {}}])
def test_on_s390x_launch_security_is_secure_execution_even_empty(security):
    assert protected(security, "s390x").ineffective == (SECURE_EXECUTION,)


@pytest.mark.parametrize("security", [None, {}, {"sev": None}, {"snp": None, "tdx": None}])
def test_elsewhere_what_is_null_or_empty_protects_nothing(security):
    found = protected(security)
    assert (found.ineffective, found.unknown) == ((), ())


def test_no_launch_security_protects_nothing_on_s390x_either():
    assert protected(None, "s390x").ineffective == ()


@pytest.mark.parametrize("sev", [{}, {"policy": {"encryptedState": True}}, {"attestation": {}}])
def test_sev_and_sev_es_pin_all_memory(sev):
    assert protected({"sev": sev}).ineffective == ("SEV pins all memory (launchSecurity.sev)",)


@pytest.mark.parametrize("kind", ["snp", "tdx", "newer"])
def test_of_other_protection_it_is_not_known_whether_fpr_works(kind):
    found = protected({kind: {}})
    assert (found.ineffective, found.unknown) == ((), (f"whether FPR works with {kind.upper()}",))


def test_empty_launch_security_of_a_vm_without_an_architecture_is_not_known():
    found = protected({}, None)
    assert found.ineffective == ()
    assert "its architecture would tell" in found.unknown[0]


def test_the_architecture_is_what_the_guest_says_where_the_spec_does_not():
    vmi = changed(VMI, "spec.domain.launchSecurity", {})
    vmi = changed(vmi, "status.guestOSInfo.machine", "s390x")
    assert find_undiscardable(vmi, NOTHING).ineffective == (SECURE_EXECUTION,)


@pytest.mark.parametrize(("status", "paused"), [("True", True), ("False", False), (None, False)])
def test_a_paused_guest_reports_nothing(status, paused):
    conditions = [{"type": "Ready", "status": "True"}, {"type": "Paused", "status": status}, "no condition"]
    found = find_undiscardable(changed(VMI, "status.conditions", conditions), NOTHING)
    assert any("paused" in words for words in found.ineffective) is paused


@pytest.mark.parametrize(
    ("state", "copying"),
    [
        ({"mode": "PostCopy"}, True),
        ({"mode": "PostCopy", "completed": True}, False),
        ({"mode": "PostCopy", "failed": True}, False),
        ({"mode": "PreCopy"}, False),
    ],
)
def test_reports_are_ignored_during_post_copy_only(state, copying):
    found = find_undiscardable(changed(VMI, "status.migrationState", state), NOTHING)
    assert any("post-copy" in words for words in found.ineffective) is copying

"""`enable --print` and `disable --print`: the change for oc or kubectl, and nothing written."""

from __future__ import annotations

import pytest

from freepage.cli.main import main
from freepage.fpr.rule import JSON_PATCH
from freepage.kube.errors import NoLoginError, UnreachableError
from freepage.kube.resources import HYPERCONVERGED_V1
from helpers.fake_cluster import FakeCluster, serve

PLACES = (
    "hyperconvergeds.v1beta1.hco.kubevirt.io/kubevirt-hyperconverged",
    "hyperconvergeds.v1.hco.kubevirt.io/kubevirt-hyperconverged",
    "kubevirt/kubevirt",
)


@pytest.fixture
def use(monkeypatch, capsys):
    """Run a command against a cluster; returns exit status, output and errors."""

    def run(cluster, *arguments):
        serve(monkeypatch, cluster)
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.mark.parametrize(("served", "place"), [(("v1beta1",), 0), (("v1", "v1beta1"), 1), ((), 2)])
def test_a_cluster_at_hand_gets_the_one_change_that_counts_there(use, served, place):
    cluster = FakeCluster(hyperconverged=served)
    status, out, _ = use(cluster, "disable", "--print")
    assert status == 0
    assert [f" {p} -p " in out for p in PLACES] == [n == place for n in range(3)]
    assert "it has now: " in out
    assert "stopped and started" in out
    assert "patch" not in {verb for verb, _ in cluster.calls}


def test_reading_kubevirt_is_all_the_permission_it_takes(use):
    cluster = FakeCluster(hyperconverged=("v1",))
    use(cluster, "enable", "--print")
    assert {verb for verb, _ in cluster.calls} <= {"list", "get"}


def test_without_permission_to_read_every_kind_of_installation_is_printed_with_the_reason(use):
    cluster = FakeCluster(hyperconverged=("v1",))
    cluster.forbidden = {("list", "kubevirts")}
    status, out, _ = use(cluster, "enable", "--print")
    assert status == 0
    assert all(f" {place} -p " in out for place in PLACES)
    assert "which of these it is could not be read" in out


@pytest.mark.parametrize("error", [NoLoginError("no kubeconfig"), UnreachableError("no route")])
def test_without_a_cluster_every_kind_is_printed(use, error):
    cluster = FakeCluster()

    async def fail():
        raise error

    cluster.server_version = fail
    status, out, _ = use(cluster, "disable", "--print")
    assert status == 0
    assert all(f" {place} -p " in out for place in PLACES)
    assert error.message in out


def test_offline_asks_no_cluster(use):
    cluster = FakeCluster()
    status, out, _ = use(cluster, "enable", "--print", "--offline")
    assert (status, cluster.calls, hasattr(cluster, "login")) == (0, [], False)
    assert all(f" {place} -p " in out for place in PLACES)
    assert "could not be read" not in out


def test_single_vms_need_no_cluster_either(use):
    cluster = FakeCluster()
    status, out, _ = use(cluster, "disable", "--print", "--vm", "shop/db", "--vm", "shop/web")
    assert (status, cluster.calls) == (0, [])
    assert """kubectl patch --type=merge -n shop virtualmachine/web -p '{"spec":{"template":""" in out
    assert 'kubevirt.io/free-page-reporting-disabled: "true"' in out


def test_a_setting_that_is_overridden_is_refused_here_too(use):
    cluster = FakeCluster(hyperconverged=("v1",))
    obj = cluster.peek(HYPERCONVERGED_V1, "kubevirt", "kubevirt-hyperconverged")
    obj["metadata"]["annotations"] = {JSON_PATCH: "... virtualMachineOptions ..."}
    status, _, err = use(cluster, "enable", "--print")
    assert status == 7
    assert JSON_PATCH in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--offline",), "--offline goes with --print"),
        (("--print", "--dry-run"), "--dry-run does not go with it"),
        (("--print", "--vm", "a/b", "--restart"), "--restart does not go with it"),
        (("--print", "--prove", "a/b"), "--prove does not go with it"),
    ],
)
def test_options_that_do_not_go_together_are_refused(use, arguments, words):
    status, _, err = use(FakeCluster(), "enable", *arguments)
    assert status == 2
    assert words in err

"""Nodes whose kubelets do not answer, beside those that do: what an audit takes, and what it tells."""

from __future__ import annotations

import asyncio

import pytest

from freepage.kube.errors import ClusterError, ForbiddenError, NotConnectedError, NotFoundError, SilentError
from freepage.kube.resources import PODS, VMIS
from freepage.kubevirt.audit import audit_cluster
from freepage.kubevirt.kubelets import LIMIT_S, Kubelets, SilentNodeError
from helpers.fake_cluster import FakeCluster
from helpers.virtual_time import run_virtually

REFUSED = ClusterError("get pods/log p: dial tcp 10.0.0.3:10250: connect: connection refused", status=500)
ANSWER_S = 0.1


class NodesCluster(FakeCluster):
    """Logs take ANSWER_S; of `refusing` nodes they are refused, `silent` ones wait for as long as the caller does."""

    def __init__(self):
        super().__init__()
        self.refusing, self.silent = set(), set()

    def add_vms(self, node, count):
        for number in range(count):
            name = f"vm-{number:03}-{node}"
            self.add_instance("shop", name, status={"nodeName": node})
        for pod in self.objects[PODS.group, PODS.plural].values():
            if pod["metadata"]["ownerReferences"][0]["name"].endswith(node):
                pod["spec"]["nodeName"] = node

    async def read_log(self, pod, *, limit_s=None, **options):
        node = self.peek(PODS, "shop", pod)["spec"]["nodeName"]
        text = await super().read_log(pod, **options)
        await asyncio.sleep(limit_s if node in self.silent else ANSWER_S)
        if node in self.silent:
            raise SilentError("it does not answer")
        if node in self.refusing:
            raise REFUSED
        return text


def audit_beside(broken, dead_nodes=1):
    """Audit 500 VMs on ten nodes, and 100 on each of some whose kubelets are gone."""
    cluster = NodesCluster()
    for number in range(10):
        cluster.add_vms(f"good-{number}", 50)
    for number in range(dead_nodes):
        cluster.add_vms(f"dead-{number}", 100)
        getattr(cluster, broken).add(f"dead-{number}")
    audit, took_s = run_virtually(audit_cluster(cluster))
    return cluster, audit, took_s


@pytest.mark.parametrize("broken", ["refusing", "silent"])
def test_a_dead_kubelet_does_not_slow_the_audit_of_the_others(broken):
    cluster, audit, took_s = audit_beside(broken)
    assert (audit.count("on"), audit.count("unknown")) == (500, 100)
    assert audit.unread == {"dead-0": 100}
    assert took_s < 15
    assert cluster.calls.count(("get", "pods/log")) <= 500 + 3
    unread = [vm.source for vm in audit.vms if vm.silent_node]
    assert {s.partition(": ")[0] for s in unread} == {"not read"}
    assert sum(s == "not read: node dead-0 does not answer" for s in unread) == 98


@pytest.mark.long
@pytest.mark.parametrize("broken", ["refusing", "silent"])
def test_many_dead_kubelets_take_no_longer_than_one(broken):
    _, audit, took_s = audit_beside(broken, dead_nodes=25)
    assert (audit.count("on"), audit.count("unknown")) == (500, 2500)
    assert sum(audit.unread.values()) == 2500
    assert took_s < 15


def test_the_first_vms_of_a_dead_node_tell_how_it_does_not_answer():
    for broken, words in (("refusing", "connection refused"), ("silent", f"nothing within {LIMIT_S:.0f} s")):
        _, audit, _ = audit_beside(broken)
        assert sum(words in vm.source for vm in audit.vms) == 2


def test_a_kubelet_that_goes_away_half_way_costs_one_wait():
    cluster = NodesCluster()
    cluster.add_vms("n", 200)

    async def work():
        asyncio.get_running_loop().call_later(3.5 * ANSWER_S, cluster.silent.add, "n")
        return await audit_cluster(cluster)

    audit, took_s = run_virtually(work())
    assert took_s < 2 * LIMIT_S
    assert audit.count("on") > 30
    assert audit.unread == {"n": 200 - audit.count("on")}


def fail_with(errors, answer="log"):
    """A question that fails with some errors, then is answered."""
    waiting = iter(errors)

    async def question():
        error = next(waiting, None)
        if error is not None:
            raise error
        return answer

    return question


def test_a_kubelet_that_fails_once_is_asked_again():
    question = fail_with([REFUSED])
    assert run_virtually(Kubelets().ask("n", question))[0] == "log"


def test_one_log_that_its_node_cannot_give_costs_no_other():
    async def work():
        kubelets = Kubelets()
        with pytest.raises(SilentNodeError):
            await kubelets.ask("n", fail_with([REFUSED] * 2))
        for _ in range(3):
            assert await kubelets.ask("n", fail_with([])) == "log"
        with pytest.raises(SilentNodeError):
            await kubelets.ask("n", fail_with([REFUSED] * 2))
        return await kubelets.ask("n", fail_with([]))

    assert run_virtually(work())[0] == "log"


def test_a_node_that_is_behind_a_way_that_fails_is_given_up_too():
    async def work():
        kubelets, error = Kubelets(), ClusterError("no agent available", status=503)
        for words in ("no agent available", "no agent available", "does not answer$"):
            with pytest.raises(SilentNodeError, match=words):
                await kubelets.ask("n", fail_with([error]))

    run_virtually(work())


ENDED = ClusterError(
    'get pods/exec p: unable to upgrade connection: container not found ("compute")', status=500
)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("gone", status=404),
        ForbiddenError("no", status=403),
        NotConnectedError("away"),
        ENDED,
    ],
)
def test_what_is_no_failure_of_the_node_is_raised_as_it_is(error):
    async def work():
        kubelets = Kubelets()
        for _ in range(5):
            with pytest.raises(type(error)):
                await kubelets.ask("n", fail_with([error]))

    run_virtually(work())


def test_libvirt_is_not_asked_on_a_node_that_does_not_answer():
    cluster = NodesCluster()
    cluster.add_vms("n", 20)
    cluster.refusing.add("n")
    audit, _ = run_virtually(audit_cluster(cluster, may_exec=True))
    assert audit.unread == {"n": 20}
    assert ("create", "pods/exec") not in cluster.calls
    assert len(cluster.objects[VMIS.group, VMIS.plural]) == 20

"""What is shown of a run in a cluster beforehand: refused as the run would be, told as it is, true in every object."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import yaml

from freepage.cli.main import main
from freepage.errors import HostError
from freepage.image.layers import ARCHITECTURE_PATH
from freepage.kube.errors import LoginError, NoLoginError
from freepage.kube.resources import KUBEVIRTS, NAMESPACES, NODES, dig
from freepage.targets.cluster import survey
from freepage.targets.cluster.obstacles import ENFORCED
from freepage.targets.cluster.survey import find_worker_architecture
from freepage.targets.cluster.target import check_image
from helpers.fake_cluster import FakeCluster, serve
from helpers.outlines import CHOICES, IMAGE, node, outline_of

OWN = ("--image", IMAGE)
OTHERS = ("--vm-disk", "registry/fedora:41", "--pod-image", "registry/small:1")
ONCE = ("--repeats", "1")


@pytest.fixture(scope="module")
def built_for():
    return asyncio.run(find_worker_architecture()).name


@pytest.fixture
def cluster(monkeypatch, built_for):
    """A cluster with one node of the worker's architecture and one of another, in namespace bench."""
    found = FakeCluster()
    other = "s390x" if built_for != "s390x" else "amd64"
    for made in (
        node("node-a", memory="64Gi", architecture=built_for),
        node("node-b", memory="128Gi", architecture=other),
    ):
        found.add(NODES, made)
    found.add(NAMESPACES, {"metadata": {"name": "bench", "labels": {}}})
    serve(monkeypatch, found)
    return found


@pytest.fixture
def ask(capsys):
    """Ask for a plan or a dry run in a cluster; returns exit status, output and errors."""

    def run(*arguments):
        status = main([*arguments, "--target", "cluster"])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def created_in(out):
    return [o for o in yaml.load_all(out, yaml.CSafeLoader) if o is not None]


def comments_of(out):
    return [line.removeprefix("# ") for line in out.partition("---\n")[0].splitlines()]


def find_nothings(tree, path=""):
    """Every place in an object that holds nothing, or the word for it."""
    if isinstance(tree, dict):
        return [p for key, value in tree.items() for p in find_nothings(value, f"{path}.{key}")]
    if isinstance(tree, list):
        return [p for n, value in enumerate(tree) for p in find_nothings(value, f"{path}[{n}]")]
    meant = path.startswith((".binaryData", ".data")) or path == ".spec.evictionStrategy"
    return [path] if tree in {None, "None", ""} and not meant else []


@pytest.mark.parametrize("images", [OWN, OTHERS, (*OWN, *OTHERS)], ids=["own", "others", "both"])
def test_every_object_of_a_dry_run_is_whole_and_says_what_it_is_for(cluster, ask, images):
    status, out, _ = ask("run", "quick", "--dry-run", *ONCE, *images)
    assert status == 0
    objects = created_in(out)
    assert [find_nothings(o) for o in objects] == [[]] * len(objects)
    vms = [o["spec"] for o in objects if o["kind"] == "VirtualMachineInstance"]
    assert vms
    for vm in vms:
        boots = dig(vm, "domain", "firmware", "kernelBoot", "container", "kernelPath")
        assert boots or any("containerDisk" in v for v in vm["volumes"])
    assert out.count("---\n# ") == len(objects)
    assert re.findall(
        r"^# trial \S+: cycle-0, (a pod|a VM with FPR o\w+) on node node-a$", out, re.MULTILINE
    ) == [*["a pod", "a VM with FPR off", "a VM with FPR on"] * 2]


@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run"), ("run",)], ids=["plan", "dry", "run"])
def test_a_plan_a_dry_run_and_a_run_refuse_in_the_same_words(cluster, ask, tmp_path, command):
    verb, *options = command
    out = ("--out", str(tmp_path / "run")) if command == ("run",) else ()
    answers = [ask(verb, study, *options, *out, *more) for study, *more in (
        ("guest-io", *OTHERS),
        ("random", "--arms", "vm", "--scale", "100", *OWN),
        ("quick", "--nodes", "node-b", *OWN),
        ("quick", "--nodes", "node-z", *OWN),
        ("quick",),
        ("quick", "--arms", "pod"),
    )]  # fmt: skip
    assert [(status, said) for status, said, _ in answers] == [(s, "") for s in (4, 3, 4, 4, 4, 4)]
    refusals = [error for _, _, error in answers]
    assert "programs such as fio reach a cluster in freepage's own image only" in refusals[0]
    assert "64.0 GiB are available" in refusals[1]
    assert "and what runs on nodes is built here for" in refusals[2]
    assert "the cluster has no node node-z" in refusals[3]
    assert "VMs of a cluster boot an image" in refusals[4]
    assert "pods need an image" in refusals[5]
    assert not (tmp_path / "run").exists()
    assert {verb for verb, _ in cluster.calls} <= {"get", "list"}


def test_what_the_cluster_disables_is_left_out_of_a_dry_run_and_said(cluster, ask):
    kubevirt = cluster.peek(KUBEVIRTS, "kubevirt", "kubevirt")
    kubevirt["spec"]["configuration"] = {"virtualMachineOptions": {"disableFreePageReporting": {}}}
    status, out, _ = ask("run", "cycle", "--dry-run", "--scale", "0.02", *ONCE, *OWN)
    assert status == 0
    (skipped,) = (line for line in comments_of(out) if line.startswith("skipped: "))
    assert "-vm-fpr" in skipped
    assert "disabled for the whole cluster" in skipped
    annotations = [
        o["metadata"].get("annotations") for o in created_in(out) if o["kind"] == "VirtualMachineInstance"
    ]
    assert annotations
    assert None not in annotations
    status, out, err = ask("run", "cycle", "--dry-run", "--arms", "vm-fpr", *ONCE, *OWN)
    assert (status, out) == (4, "")
    assert "disabled for the whole cluster" in err


def test_a_restricted_namespace_refuses_a_run_of_vms_and_takes_one_of_pods(cluster, ask):
    cluster.peek(NAMESPACES, "", "bench")["metadata"]["labels"][ENFORCED] = "restricted"
    status, out, err = ask("run", "cycle", "--dry-run", "--arms", "vm,vm-fpr", *OWN)
    assert (status, out) == (4, "")
    assert 'enforces the pod security standard "restricted"' in err
    assert ask("run", "cycle", "--dry-run", "--arms", "pod", *OWN)[0] == 0


def test_a_plan_and_a_dry_run_say_the_same_of_repeats_nodes_and_what_is_not_known(cluster, ask, built_for):
    cluster.forbidden.add(("get", "namespaces"))
    plan = ask("plan", "quick", *OWN)[1].partition("\n\n")[0].splitlines()
    comments = comments_of(ask("run", "quick", "--dry-run", *OWN)[1])
    assert comments[: len(plan)] == plan
    assert f"on node-a ({built_for})" in plan[1]
    words = "\n".join(plan)
    assert "left out by their architecture: node-b (" in words
    assert "whether namespace bench takes the pods of VMs is not known" in words
    assert "repeats can show differences from" in words
    assert "a server's dry run" not in words
    assert "pod security, quotas and SCCs only when they are created" in "\n".join(comments)


@pytest.fixture
def nowhere(monkeypatch):
    """No way into any cluster, by this error."""

    def be(error):
        @asynccontextmanager
        async def open_cluster(_login, **_):
            raise error
            yield

        monkeypatch.setattr(survey, "open_cluster", open_cluster)

    be(NoLoginError("no way into a cluster: KUBECONFIG is not set", hint="log in"))
    return be


@pytest.mark.usefixtures("nowhere")
def test_without_a_login_a_cluster_is_assumed_and_all_that_is_assumed_is_said(ask, built_for):
    status, out, _ = ask("run", "quick", "--dry-run", "--nodes", "a,b", *ONCE, *OWN)
    assert status == 0
    said = "\n".join(comments_of(out))
    assert "no cluster was asked: no way into a cluster: KUBECONFIG is not set" in said
    assert f"assumed: nodes a, b, {built_for}, with 64 CPUs and 256 GiB of memory for pods each" in said
    assert "assumed: namespace default without quota" in said
    assert "assumed: KubeVirt 1.9 with FPR enabled" in said
    nodes = {dig(o, "spec", "nodeSelector", "kubernetes.io/hostname") for o in created_in(out)} - {None}
    assert nodes == {"a", "b"}
    assert ask("plan", "quick", "-n", "lab", *ONCE, *OWN)[1].count("assumed: namespace lab ") == 1


def test_offline_asks_no_cluster_that_is_there(cluster, ask):
    status, out, _ = ask("run", "quick", "--dry-run", "--offline", "--arms", "pod", *ONCE, *OWN)
    assert status == 0
    said = "\n".join(comments_of(out))
    assert "no cluster was asked: --offline" in said
    assert "KubeVirt" not in said
    assert cluster.calls == []


def test_what_needs_no_cluster_to_be_refused_is_refused_offline_too_and_a_broken_login_always(ask, nowhere):
    assert ask("run", "guest-io", "--dry-run", "--offline", *OTHERS)[0] == 4
    nowhere(LoginError("the kubeconfig is broken"))
    assert ask("run", "quick", "--dry-run", *OWN)[0] == 7


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("options", "words"), [((), "no way into a cluster"), (("--offline",), "--offline assumes a cluster")]
)
def test_nothing_runs_in_a_cluster_that_is_assumed(ask, tmp_path, options, words):
    status, out, err = ask("run", "quick", "--out", str(tmp_path / "run"), *options, *OWN)
    assert (status, out) == (7, "")
    assert words in err


def test_an_image_of_another_architecture_than_a_node_is_refused_by_what_stands_in_it():
    outline = outline_of(node("a"), node("b", architecture="arm64"))

    def check(*built, **choices):
        texts = {name: {ARCHITECTURE_PATH: text} for name, text in zip("ab", built, strict=True)}
        check_image(replace(outline, choices=replace(CHOICES, **choices)), texts)

    check("amd64\n", "arm64")
    check(None, None)
    check("amd64", "amd64", pod_image="registry/small:1")
    check("amd64", "amd64", image=None, pod_image="registry/small:1")
    with pytest.raises(HostError, match=f"the image {IMAGE} is built for amd64, and node b is arm64"):
        check("amd64", "amd64")

"""`freepage audit FILE`: the same answers as of a cluster, whatever the files hold."""

from __future__ import annotations

import copy
import io
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from freepage.cli.audit_view import describe_json, print_file_audit
from freepage.cli.main import main
from freepage.kube.object_lists import NoObject, list_objects
from freepage.kubevirt.audit_objects import audit_objects, is_wanted
from helpers.fake_cluster import FakeCluster, serve
from helpers.hostile import HOSTILE, assert_harmless
from helpers.kubevirt_objects import KUBEVIRT, build_instance, build_launcher, build_vm

OBJECTS = {"apiVersion": "v1", "kind": "List", "items": [KUBEVIRT, build_vm(), build_instance()]}


@pytest.fixture
def audit(capsys, monkeypatch):
    """Run `freepage audit`; returns exit status, output and errors."""
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*arguments):
        status = main(["audit", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (json.dumps(OBJECTS, indent=4).replace("\n", "\r\n"), "utf-16"),
        (json.dumps(OBJECTS), "utf-8-sig"),
        ("\n".join(map(json.dumps, OBJECTS["items"])), "utf-8"),
        (yaml.safe_dump(OBJECTS), "utf-8"),
        (yaml.safe_dump_all(OBJECTS["items"], explicit_start=True), "utf-16"),
    ],
    ids=["PowerShell", "marked", "lines", "yaml", "documents"],
)
def test_whatever_a_shell_has_written_is_audited(audit, tmp_path, monkeypatch, text, encoding):
    path = write(tmp_path / "objects", text, encoding)
    status, out, err = audit(path)
    assert (status, err) == (0, "")
    assert out.startswith("Free Page Reporting in the cluster: enabled (KubeVirt kubevirt/kubevirt)\n")
    assert "1 VM: 1 on, 0 off, 0 not known; 0 on without effect\n" in out
    stdin = io.TextIOWrapper(io.BytesIO(text.encode(encoding)))
    monkeypatch.setattr("sys.stdin", stdin)
    assert audit("-") == (status, out, err)


def test_a_folder_and_files_are_audited_together(audit, tmp_path):
    (tmp_path / "dump").mkdir()
    write(tmp_path / "dump" / "vm.yaml", yaml.safe_dump(build_vm()))
    write(tmp_path / "dump" / "secret.yaml", "kind: Secret\n")
    write(tmp_path / "dump" / "broken.json", "{")
    kubevirt = write(tmp_path / "kubevirt.json", json.dumps(KUBEVIRT))
    status, out, _ = audit(kubevirt, tmp_path / "dump")
    assert status == 0
    assert "shop/db (stopped)   on" in out
    assert "of other kinds, so left out: 1 Secret\n" in out
    assert "not read: 1\n" in out
    assert "broken.json: is not JSON: line 1, column 2" in out


def test_a_vm_that_has_not_started_is_told_with_the_reason(audit, tmp_path):
    waiting = build_instance(phase="Scheduling")
    pod = build_launcher(waiting, reason="0/3 nodes are available")
    path = write(tmp_path / "x.json", json.dumps([KUBEVIRT, waiting, pod]))
    out = audit(path)[1]
    assert "shop/db (scheduling)   on         its launcher is not scheduled: 0/3 nodes are available" in out


def test_files_are_limited_to_a_namespace_as_a_cluster_is(audit, tmp_path):
    path = write(tmp_path / "x.json", json.dumps([KUBEVIRT, build_vm(), build_vm("web", "lab")]))
    content = json.loads(audit(path, "-n", "lab", "--format", "json")[1])
    assert [vm["name"] for vm in content["vms"]] == ["web"]


@pytest.mark.parametrize("option", [("--exec",), ("--context", "x"), ("--server", "https://x")])
def test_options_about_a_cluster_are_refused_with_files(audit, option):
    status, _, err = audit("x.json", *option)
    assert status == 2
    assert f"{option[0]} is about asking a cluster, and files were given" in err


def test_json_has_one_shape_for_files_and_clusters(audit, tmp_path, monkeypatch):
    cluster = FakeCluster()
    cluster.add_vm("shop", "db")
    serve(monkeypatch, cluster)
    live = json.loads(audit("--format", "json")[1])
    files = json.loads(audit(write(tmp_path / "x.json", json.dumps(OBJECTS)), "--format", "json")[1])
    assert list(live) == list(files) == ["cluster", "counts", "expected", "unread", "vms", "notes", "skipped"]
    for key in ("cluster", "counts", "expected"):
        assert list(live[key]) == list(files[key])
    assert list(live["vms"][0]) == list(files["vms"][0])
    assert live["cluster"] == files["cluster"]
    assert live["expected"] == files["expected"] == {"on": 1, "off": 0, "not known": 0, "no effect": 0}
    assert [(a["vms"][0]["state"], a["vms"][0]["real"]) for a in (live, files)] == [
        ("on", True),
        ("unknown", None),
    ]


def test_an_old_kubevirt_ends_both_audits_alike(audit, tmp_path, monkeypatch):
    serve(monkeypatch, FakeCluster(kubevirt="v0.59.0"))
    live = audit()
    old = {**KUBEVIRT, "status": {"operatorVersion": "v0.59.0"}}
    assert audit(write(tmp_path / "x.json", json.dumps([old, build_vm()]))) == live
    assert live[0] == 7


def test_a_file_in_another_encoding_is_refused_by_its_name(audit, tmp_path):
    path = write(tmp_path / "x.json", json.dumps(OBJECTS).replace("fedora", "é"), "latin-1")
    status, _, err = audit(path)
    assert status == 2
    assert "x.json is not UTF-8: line 1 has the byte 0xe9, which in Latin-1" in err
    assert "iconv -f latin1 -t utf-8" in err
    assert "  hint: kubectl get kubevirt,vm,vmi -A -o json" in err


@pytest.mark.parametrize("release", ["5.1[/bold]", "4.9 [red]", HOSTILE])
def test_words_of_a_guest_are_shown_as_they_are(audit, tmp_path, release):
    guest = {"id": "linux", "kernelRelease": f"4.18.0-{release}"}
    path = write(tmp_path / "x.json", json.dumps([KUBEVIRT, build_vm(), build_instance(guestOSInfo=guest)]))
    status, out, _ = audit(path)
    assert status == 0
    assert release == HOSTILE or release in out
    if release == HOSTILE:
        assert_harmless(out)


def test_words_of_objects_are_shown_as_they_are(audit, tmp_path):
    kubevirt = copy.deepcopy(KUBEVIRT)
    kubevirt["metadata"]["name"] = HOSTILE
    odd = build_vm(HOSTILE, HOSTILE)
    broken = {**build_vm(HOSTILE), "spec": HOSTILE}
    other = {"kind": HOSTILE}
    path = write(tmp_path / "x.json", json.dumps([kubevirt, odd, broken, other, HOSTILE]))
    status, out, _ = audit(path)
    assert status == 0
    assert_harmless(out)
    assert "1 VM: 1 on" in out
    assert "not read: 2" in out


def test_the_words_of_an_error_are_no_more_than_words(audit, tmp_path):
    folder = tmp_path / "a\nfreepage: all is well\x1b[2J"
    status, _, err = audit(folder)
    assert status == 2
    assert_harmless(err)
    assert [line for line in err.split("\n") if line.startswith("freepage:")] == [err.split("\n")[0]]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "true", HOSTILE, "Succeeded", "VirtualMachine"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "kind", "spec", "items", "x"]), inner, max_size=2)
    ),
    max_leaves=3,
)


def list_paths(tree, above=()):
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [above, *(path for key, value in parts for path in list_paths(value, (*above, key)))]


def replace_at(tree, path, value):
    if not path:
        return value
    tree[path[0]] = replace_at(tree[path[0]], path[1:], value)
    return tree


SEEDS = [
    KUBEVIRT,
    {
        "apiVersion": "hco.kubevirt.io/v1",
        "kind": "HyperConverged",
        "metadata": {"name": "hco", "annotations": {"kubevirt.kubevirt.io/jsonpatch": "[]"}},
        "spec": {"virtualization": {"virtualMachineOptions": {"disableFreePageReporting": False}}},
    },
    build_vm(created=True) | {"spec": {**build_vm()["spec"], "instancetype": {"name": "u1", "kind": "x"}}},
    build_instance(),
    build_launcher(build_instance(), reason="no node"),
]
CHANGES = st.lists(st.tuples(st.sampled_from(list_paths(SEEDS)), JSON), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_objects_of_any_shape_are_judged_or_said_to_be_left_out(changes):
    objects = copy.deepcopy(SEEDS)
    for path, value in changes:
        try:
            objects = replace_at(objects, path, copy.deepcopy(value))
        except (KeyError, IndexError, TypeError):
            continue  # An earlier change has taken the place away.
    wanted = [o for o in list_objects(objects) if not isinstance(o, NoObject) and is_wanted(o)]
    found = audit_objects(wanted)
    assert len(found.vms) + len(found.skipped) <= len(wanted) + 2
    assert json.dumps(describe_json(found), allow_nan=False)


def test_nothing_an_audit_shows_can_mark_up_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    objects = [KUBEVIRT, build_vm(HOSTILE), build_instance(HOSTILE, phase=HOSTILE, nodeName=HOSTILE)]
    print_file_audit(audit_objects(objects))
    assert_harmless(capsys.readouterr().out)

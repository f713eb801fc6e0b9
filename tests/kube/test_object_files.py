"""Files and folders of objects."""

from __future__ import annotations

import io
import json

import pytest

from freepage.kube import object_files
from freepage.kube.object_files import ObjectsError, Skipped, read_object_files

POD, NODE = {"kind": "Pod", "n": 1}, {"kind": "Node", "n": 2}


def read(*names, kinds=("Pod", "Node")):
    return read_object_files([str(n) for n in names], lambda o: o["kind"] in kinds, hint="use kubectl")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def test_several_files_are_read_in_their_order_and_other_kinds_are_counted(tmp_path):
    one = write(tmp_path / "b.json", {"kind": "List", "items": [POD, {"kind": "Secret"}, 5]})
    two = write(tmp_path / "a.txt", b"\xff\xfek\0i\0n\0d\0:\0 \0N\0o\0d\0e\0\r\0\n\0n\0:\0 \x002\0")
    found = read(one, two)
    assert found.objects == [POD, NODE]
    assert found.other_kinds == {"Secret": 1}
    assert found.skipped == [Skipped(str(one), "a number, and no object")]


def test_a_folder_is_read_below_itself_by_the_names_of_its_files(tmp_path):
    write(tmp_path / "namespaces/shop/pods/pod.yaml", b"---\nkind: Pod\nn: 1\n")
    write(tmp_path / "cluster/NODE.JSON", NODE)
    write(tmp_path / "cluster/audit.log", b"not read")
    broken = write(tmp_path / "cluster/broken.yml", b"kind: Pod\n  n: [")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = read(tmp_path)
    assert found.objects == [NODE, POD]
    assert [s.what for s in found.skipped] == [str(broken)]
    assert found.skipped[0].why.startswith("is neither JSON nor YAML: line 2")


def test_a_file_counts_whole_or_not_at_all(tmp_path):
    write(tmp_path / "cut.json", json.dumps(POD).encode() + b'\n{"kind": "No')
    write(tmp_path / "node.json", NODE)
    assert read(tmp_path).objects == [NODE]


def test_standard_input_is_read_as_bytes(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(json.dumps([POD]).encode("utf-16")), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stream)
    assert read("-").objects == [POD]
    with pytest.raises(ObjectsError, match="standard input is empty"):
        read("-")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b'{"a": 1}', "holds no Kubernetes objects: it is an object without a kind"),
        (b"[1, 2]", "holds no Kubernetes objects: it is a number"),
        (b"No resources found", "holds no Kubernetes objects: it is a string"),
        (b"{}}", "is not JSON: line 1"),
        (b"\xe9t\xe9", "is not UTF-8: line 1 has the byte 0xe9"),
    ],
)
def test_a_file_that_was_named_and_has_no_objects_is_refused(tmp_path, content, words):
    path = write(tmp_path / "objects.json", content)
    with pytest.raises(ObjectsError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path} {words}")
    assert (caught.value.hint, caught.value.exit_status) == ("use kubectl", 2)


def test_an_empty_list_is_no_reason_to_refuse_a_file(tmp_path):
    assert read(write(tmp_path / "x.json", {"kind": "List", "items": None})).objects == []


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ObjectsError, match=r"x\.json cannot be read: No such file"):
        read(tmp_path / "x.json")
    with pytest.raises(ObjectsError, match=r"has no \*\.json, \*\.yaml, \*\.yml below it"):
        read(tmp_path)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(object_files, "MOST_BYTES", 2**20)
    with pytest.raises(ObjectsError, match="larger than 1 MiB: take the objects of some namespaces"):
        read("/dev/zero")

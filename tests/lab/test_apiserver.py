"""The test cluster's API server: does it speak and refuse as a real one?"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml

from freepage.kube.api import Login, open_cluster
from freepage.kube.errors import ForbiddenError
from freepage.kube.resources import CONFIG_MAPS, PODS
from lab.controllers import collect_garbage
from lab.starting import MAIN, start_cluster, wait_for
from lab.store import MemoryStore

pytestmark = pytest.mark.cluster

MAPS = "/api/v1/namespaces/default/configmaps"
DRY = {"dryRun": "All"}
STRICT = {"fieldValidation": "Strict"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with start_cluster(tmp_path_factory.mktemp("plain"), "--no-nodes") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def _healed(request):
    yield
    if "plain" in request.fixturenames:
        request.getfixturevalue("plain").heal()


def config_map(name, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"a": "1"},
    }


def pod(name, **container):
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", **container}]}}


# What is served


@pytest.mark.parametrize(
    ("operator", "versions"),
    [("kubevirt", None), ("hco-v1beta1", ["v1beta1"]), ("hco", ["v1", "v1beta1"]), ("none", None)],
)
def test_a_cluster_serves_the_versions_its_operator_has(tmp_path, operator, versions):
    with start_cluster(tmp_path, "--no-nodes", "--operator", operator) as cluster:
        assert cluster.ask("GET", "/version")["gitVersion"].startswith("v1.")
        groups = {group["name"]: group for group in cluster.ask("GET", "/apis")["groups"]}
        assert ("kubevirt.io" in groups) is (operator != "none")
        if versions is None:
            assert cluster.client.get("/apis/hco.kubevirt.io").status_code == 404
        else:
            found = cluster.ask("GET", "/apis/hco.kubevirt.io")
            assert [v["version"] for v in found["versions"]] == versions
            assert found["preferredVersion"]["version"] == versions[0]


def test_an_old_kubevirt_can_be_had(tmp_path):
    with start_cluster(tmp_path, "--no-nodes", "--kubevirt-version", "v0.59.2") as cluster:
        kubevirts = cluster.ask("GET", "/apis/kubevirt.io/v1/kubevirts")["items"]
        assert kubevirts[0]["status"]["observedKubeVirtVersion"] == "v0.59.2"


POD_CREATOR = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pod-creator}
rules: [{apiGroups: [""], resources: [pods], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pod-creator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pod-creator}
subjects: [{kind: User, name: eve}]
"""


def test_openshift_has_routes_and_chooses_the_users_of_pods(tmp_path):
    with start_cluster(tmp_path, "--no-nodes", "--openshift", "--operator", "hco") as cluster:
        kubevirts = cluster.ask("GET", "/apis/kubevirt.io/v1/kubevirts")["items"]
        assert kubevirts[0]["metadata"]["namespace"] == "openshift-cnv"
        assert cluster.ask("GET", "/apis/route.openshift.io/v1/routes")["items"] == []
        cluster.apply(POD_CREATOR)
        eve = {"Authorization": f"Bearer {cluster.issue_token('eve')}"}
        pods = "/api/v1/namespaces/default/pods"
        security = cluster.ask("POST", pods, pod("own"), headers=eve)["spec"]["containers"][0][
            "securityContext"
        ]
        annotations = cluster.ask("GET", "/api/v1/namespaces/default")["metadata"]["annotations"]
        assert annotations["openshift.io/sa.scc.uid-range"].startswith(f"{security['runAsUser']}/")
        body = pod("other", securityContext={"runAsUser": 65534})
        assert "must be in the ranges" in cluster.refused("POST", pods, body, headers=eve)["message"]
        cluster.ask("POST", pods, body)


def test_discovery_lists_subresources(plain):
    core = {r["name"]: r["verbs"] for r in plain.ask("GET", "/api/v1")["resources"]}
    assert core["pods/exec"] == ["create", "get"]
    assert "watch" in core["nodes"]
    below = plain.ask("GET", "/apis/subresources.kubevirt.io/v1")["resources"]
    assert "virtualmachineinstances/console" in [r["name"] for r in below]
    definitions = plain.ask("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    assert "kubevirts.kubevirt.io" in [d["metadata"]["name"] for d in definitions]


def test_without_schemas_it_says_so_and_takes_what_it_is_given(tmp_path):
    with start_cluster(tmp_path, "--no-nodes", "--schemas", str(tmp_path / "none")) as cluster:
        assert "not validated" in (tmp_path / "cluster.log").read_text()
        vmis = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
        body = {"metadata": {"name": "vm"}, "spec": {"domain": {}, "misspelt": True}}
        cluster.ask("POST", vmis, body, params=STRICT)


# Objects


def test_an_object_is_created_changed_and_deleted(plain):
    created = plain.ask("POST", MAPS, config_map("crud"))
    assert created["metadata"]["uid"]
    assert created["metadata"]["generation"] == 1
    assert plain.refused("POST", MAPS, config_map("crud"))["reason"] == "AlreadyExists"
    changed = plain.patch(f"{MAPS}/crud", {"data": {"a": None, "b": "2"}}).json()
    assert changed["data"] == {"b": "2"}
    assert int(changed["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    assert plain.ask("DELETE", f"{MAPS}/crud")["status"] == "Success"
    gone = plain.refused("GET", f"{MAPS}/crud")
    assert gone["message"] == 'configmaps "crud" not found'
    assert gone["details"] == {"name": "crud", "kind": "configmaps"}


def test_an_old_resource_version_is_a_conflict_in_a_put_and_in_a_patch(plain):
    old = plain.ask("POST", MAPS, config_map("conflict"))
    plain.patch(f"{MAPS}/conflict", {"data": {"b": "2"}})
    assert plain.refused("PUT", f"{MAPS}/conflict", old)["reason"] == "Conflict"
    version = {"resourceVersion": old["metadata"]["resourceVersion"]}
    answer = plain.patch(f"{MAPS}/conflict", {"metadata": version, "data": {"c": "3"}})
    assert answer.json()["reason"] == "Conflict"
    assert "the object has been modified" in answer.json()["message"]


async def test_patches_at_the_same_time_all_count(plain):
    plain.ask("POST", MAPS, config_map("many"))
    async with open_cluster(Login(kubeconfig=str(plain.kubeconfig))) as api:
        patches = [{"data": {f"key-{n}": "x" * 5000}} for n in range(20)]
        await asyncio.gather(*(api.patch(CONFIG_MAPS, "many", patch) for patch in patches))
    assert len(plain.ask("GET", f"{MAPS}/many")["data"]) == 21


def test_a_write_that_changes_nothing_is_none(plain):
    created = plain.ask("POST", MAPS, config_map("same"))
    again = plain.patch(f"{MAPS}/same", {"data": {"a": "1"}}).json()
    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


def test_a_dry_run_answers_and_keeps_nothing(plain):
    created = plain.ask("POST", MAPS, config_map("dry"), params=DRY)
    assert created["metadata"]["uid"]
    assert plain.is_gone(f"{MAPS}/dry")
    plain.ask("POST", MAPS, config_map("dry"))
    assert plain.patch(f"{MAPS}/dry", {"data": {"a": "2"}}, **DRY).json()["data"] == {"a": "2"}
    assert plain.ask("GET", f"{MAPS}/dry")["data"] == {"a": "1"}
    plain.ask("DELETE", f"{MAPS}/dry", params=DRY)
    plain.ask("GET", f"{MAPS}/dry")


def test_a_generated_name_ends_in_five_letters(plain):
    body = {"metadata": {"generateName": "made-"}}
    name = plain.ask("POST", MAPS, body)["metadata"]["name"]
    assert len(name) == len("made-") + 5


def test_lists_come_in_pages_and_are_selected(plain):
    for n in range(7):
        plain.ask("POST", MAPS, config_map(f"page-{n}", labels={"page": "yes", "odd": str(n % 2)}))
    query = {"labelSelector": "page=yes", "limit": 3}
    names, more = [], ""
    while True:
        found = plain.ask("GET", MAPS, params={**query, "continue": more})
        assert len(found["items"]) <= 3
        names += [item["metadata"]["name"] for item in found["items"]]
        more = found["metadata"].get("continue", "")
        if not more:
            break
    assert names == [f"page-{n}" for n in range(7)]
    # A typed list says of which kind its items are; they do not.
    assert "kind" not in found["items"][0]
    for selector, count in (
        ("page,odd!=1", 4),
        ("odd in (1,2)", 3),
        ("page,!odd", 0),
        ("odd notin (0),page", 3),
    ):
        assert len(plain.ask("GET", MAPS, params={"labelSelector": selector})["items"]) == count
    by_field = {"fieldSelector": "metadata.name=page-3"}
    assert len(plain.ask("GET", "/api/v1/configmaps", params=by_field)["items"]) == 1
    bad = plain.refused("GET", MAPS, params={"fieldSelector": "data.a=1"})
    assert bad["message"] == "field label not supported: data.a"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (config_map("Upper"), "a lowercase RFC 1123 subdomain"),
        (config_map("label", labels={"a": "not good"}), "a valid label must be"),
        ({"metadata": {}, "data": {}}, "name or generateName is required"),
        ({**config_map("large"), "data": {"a": "x" * 2**20, "b": "y"}}, "may not be more than 1048576 bytes"),
    ],
    ids=["name", "label", "no name", "too large"],
)
def test_what_is_wrong_with_an_object_is_told(plain, body, words):
    status = plain.refused("POST", MAPS, body)
    assert status["reason"] == "Invalid"
    assert words in status["message"]
    assert status["details"]["causes"]


def test_a_body_has_a_limit_and_a_form(plain):
    large = {**config_map("huge"), "binaryData": {"a": "A" * 4 * 2**20}}
    assert plain.refused("POST", MAPS, large)["code"] == 413
    odd = {**config_map("odd"), "binaryData": {"a": "not base64"}}
    assert "illegal base64 data" in plain.refused("POST", MAPS, odd)["message"]
    assert plain.refused("POST", MAPS, config_map("other", namespace="other"))["code"] == 400
    assert plain.refused("POST", MAPS, {"metadata": "odd"})["code"] == 400
    assert plain.refused("POST", MAPS, config_map("odd", labels={"a": 1}))["reason"] == "BadRequest"
    strategic = {"Content-Type": "application/strategic-merge-patch+json"}
    plain.ask("POST", MAPS, config_map("media"))
    assert plain.refused("PATCH", f"{MAPS}/media", {}, headers=strategic)["code"] == 415


def test_a_misspelt_field_of_a_pod_is_refused_too(plain):
    status = plain.refused("POST", "/api/v1/namespaces/default/pods", pod("p", comand=[]), params=STRICT)
    assert status["message"].endswith('strict decoding error: unknown field "spec.containers[0].comand"')


# Watches


def watch(cluster, path, **query):
    return cluster.client.stream("GET", path, params={"watch": "true", **query})


def read_events(response, count):
    lines = response.iter_lines()
    events = [json.loads(next(lines)) for _ in range(count)]
    return [(event["type"], event["object"]["metadata"].get("name")) for event in events]


def test_a_watch_goes_on_from_where_a_list_ended(plain):
    plain.ask("POST", MAPS, config_map("seen"))
    version = plain.ask("GET", MAPS)["metadata"]["resourceVersion"]
    plain.ask("POST", MAPS, config_map("watched"))
    plain.patch(f"{MAPS}/watched", {"data": {"a": "2"}})
    plain.ask("DELETE", f"{MAPS}/watched")
    with watch(plain, MAPS, resourceVersion=version) as response:
        assert read_events(response, 3) == [
            ("ADDED", "watched"),
            ("MODIFIED", "watched"),
            ("DELETED", "watched"),
        ]


def test_what_no_longer_fits_a_watch_is_deleted_to_it(plain):
    version = plain.ask("GET", MAPS)["metadata"]["resourceVersion"]
    plain.ask("POST", MAPS, config_map("leaves", labels={"in": "yes"}))
    plain.patch(f"{MAPS}/leaves", {"metadata": {"labels": {"in": "no"}}})
    with watch(plain, MAPS, resourceVersion=version, labelSelector="in=yes") as response:
        assert read_events(response, 2) == [("ADDED", "leaves"), ("DELETED", "leaves")]


def test_a_watch_ends_at_its_timeout_with_a_bookmark(plain):
    query = {"resourceVersion": plain.ask("GET", MAPS)["metadata"]["resourceVersion"]}
    with watch(plain, MAPS, timeoutSeconds=1, allowWatchBookmarks="true", **query) as response:
        events = [json.loads(line) for line in response.iter_lines()]
    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert events[0]["object"]["metadata"]["resourceVersion"]


def test_changes_that_are_no_longer_kept_are_gone(plain):
    listed = plain.ask("GET", MAPS, params={"limit": 1})["metadata"]
    plain.ask("POST", MAPS, config_map("after"))
    plain.fail(forget=True)
    with watch(plain, MAPS, resourceVersion=listed["resourceVersion"]) as response:
        event = json.loads(next(response.iter_lines()))
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert plain.refused("GET", MAPS, params={"continue": listed["continue"]})["reason"] == "Expired"


# Who may do what

READER = """
apiVersion: v1
kind: Namespace
metadata: {name: theirs}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: theirs}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: theirs}
rules:
- {apiGroups: [""], resources: [pods, pods/log], verbs: [get, list]}
- {apiGroups: [""], resources: [configmaps], verbs: [get], resourceNames: [one]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: theirs}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: theirs}]
"""


@pytest.fixture(scope="module")
def reader(plain):
    """Return the headers of a service account that may read pods in one namespace."""
    plain.apply(READER)
    token = "/api/v1/namespaces/theirs/serviceaccounts/reader/token"
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    return {"Authorization": f"Bearer {plain.ask('POST', token, body)['status']['token']}"}


def test_a_role_allows_what_it_says_and_no_more(plain, reader):
    pods = "/api/v1/namespaces/theirs/pods"
    plain.ask("GET", pods, headers=reader)
    status = plain.refused("GET", "/api/v1/pods", headers=reader)
    assert status["message"] == (
        'pods is forbidden: User "system:serviceaccount:theirs:reader" cannot list resource "pods" '
        'in API group "" at the cluster scope'
    )
    status = plain.refused("DELETE", f"{pods}/p", headers=reader)
    assert status["message"] == (
        'pods "p" is forbidden: User "system:serviceaccount:theirs:reader" cannot delete resource "pods" '
        'in API group "" in the namespace "theirs"'
    )
    assert plain.refused("GET", f"{pods}/p/log", headers=reader)["code"] == 404
    assert 'resource "pods/exec"' in plain.refused("GET", f"{pods}/p/exec", headers=reader)["message"]
    maps = "/api/v1/namespaces/theirs/configmaps"
    assert plain.refused("GET", f"{maps}/one", headers=reader)["code"] == 404
    assert plain.refused("GET", f"{maps}/two", headers=reader)["code"] == 403


def test_a_user_may_ask_what_they_may_do(plain, reader):
    def may(verb, resource, namespace, subresource=""):
        attributes = {"verb": verb, "resource": resource, "namespace": namespace, "subresource": subresource}
        body = {"spec": {"resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return plain.ask("POST", path, body, headers=reader)["status"]["allowed"]

    assert may("list", "pods", "theirs")
    assert may("get", "pods", "theirs", "log")
    assert not may("get", "pods", "theirs", "exec")
    assert not may("list", "pods", "default")


def test_nobody_may_only_see_the_version(plain):
    with httpx.Client(
        base_url=plain.server, verify=ssl.create_default_context(cafile=plain.ca_file)
    ) as client:
        assert client.get("/version").status_code == 200
        assert client.get("/api/v1/pods").status_code == 403
        wrong = client.get("/version", headers={"Authorization": "Bearer nonsense"})
        assert (wrong.status_code, wrong.json()["reason"]) == (401, "Unauthorized")


def test_a_token_ends_and_one_may_come_with_a_certificate_instead(plain):
    token = plain.issue_token("eve", "system:masters", lasts_s=0.3)
    headers = {"Authorization": f"Bearer {token}"}
    plain.ask("GET", MAPS, headers=headers)
    wait_for(lambda: plain.client.get(MAPS, headers=headers).status_code == 401)
    other = {"Authorization": f"Bearer {plain.issue_token('eve', 'system:masters')}"}
    plain.ask("GET", MAPS, headers=other)
    plain.fail(expire=other["Authorization"].split()[1])
    assert plain.refused("GET", MAPS, headers=other)["code"] == 401
    context = ssl.create_default_context(cafile=plain.ca_file)
    context.load_cert_chain(*write_certificate(plain))
    with httpx.Client(base_url=plain.server, verify=context) as client:
        assert client.get(MAPS).status_code == 200


def write_certificate(cluster):
    user = yaml.safe_load(cluster.kubeconfig.read_text())["users"][1]["user"]
    paths = []
    for key in ("client-certificate-data", "client-key-data"):
        path = cluster.folder / key
        path.write_bytes(base64.b64decode(user[key]))
        paths.append(path)
    return paths


def test_a_token_ends_with_its_account(plain):
    account = "/api/v1/namespaces/default/serviceaccounts"
    plain.ask("POST", account, {"metadata": {"name": "brief"}})
    token = plain.ask("POST", f"{account}/brief/token", {"spec": {}})["status"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert plain.refused("GET", MAPS, headers=headers)["code"] == 403
    plain.ask("DELETE", f"{account}/brief")
    assert plain.refused("GET", MAPS, headers=headers)["code"] == 401


def test_a_restricted_namespace_takes_restricted_pods_only(plain):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    plain.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "strict", "labels": labels}})
    pods = "/api/v1/namespaces/strict/pods"
    status = plain.refused("POST", pods, pod("p"))
    assert 'violates PodSecurity "restricted:latest"' in status["message"]
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    plain.ask("POST", pods, pod("p", securityContext=security))


async def test_freepages_client_is_forbidden_what_its_role_does_not_say(plain, reader, tmp_path):
    token = tmp_path / "token"
    token.write_text(reader["Authorization"].split()[1])
    login = Login(server=plain.server, token_file=str(token), ca_file=str(plain.ca_file), namespace="theirs")
    async with open_cluster(login) as api:
        await api.list(PODS, "theirs")
        assert not await api.may("create", CONFIG_MAPS, namespace="theirs")
        with pytest.raises(ForbiddenError):
            await api.create(CONFIG_MAPS, config_map("mine"))


# What goes with what


def owned_by(owner, *, blocks=False):
    metadata = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"]}
    return {"ownerReferences": [reference | ({"blockOwnerDeletion": True} if blocks else {})]}


def test_what_is_owned_goes_soon_after_its_owner(plain):
    owner = plain.ask("POST", MAPS, config_map("owner"))
    plain.ask("POST", MAPS, config_map("owned", **owned_by(owner)))
    plain.ask("DELETE", f"{MAPS}/owner")
    wait_for(lambda: plain.is_gone(f"{MAPS}/owned"))


def test_in_the_foreground_the_owner_goes_last(plain):
    owner = plain.ask("POST", MAPS, config_map("last"))
    held = {**owned_by(owner, blocks=True), "finalizers": ["test/held"]}
    plain.ask("POST", MAPS, config_map("first", **held))
    answer = plain.ask("DELETE", f"{MAPS}/last", {"propagationPolicy": "Foreground"})
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"]
    wait_for(lambda: plain.ask("GET", f"{MAPS}/first")["metadata"].get("deletionTimestamp"))
    plain.ask("GET", f"{MAPS}/last")
    plain.patch(f"{MAPS}/first", {"metadata": {"finalizers": None}})
    assert plain.is_gone(f"{MAPS}/first")
    wait_for(lambda: plain.is_gone(f"{MAPS}/last"))


def test_who_may_not_hold_an_owner_back_may_not_block_its_deletion(plain, reader):
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/theirs/roles/reader"
    rules = plain.ask("GET", role)["rules"]
    plain.patch(
        role, {"rules": [*rules, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]}
    )
    theirs = "/api/v1/namespaces/theirs/configmaps"
    owner = plain.ask("POST", theirs, config_map("theirs"), headers=reader)
    blocking = config_map("blocks", **owned_by(owner, blocks=True))
    assert (
        "cannot set blockOwnerDeletion" in plain.refused("POST", theirs, blocking, headers=reader)["message"]
    )
    plain.ask("POST", theirs, config_map("goes", **owned_by(owner)), headers=reader)
    plain.patch(role, {"rules": rules})


def test_orphans_stay_and_what_names_a_wrong_owner_goes(plain):
    owner = plain.ask("POST", MAPS, config_map("parent"))
    plain.ask("POST", MAPS, config_map("orphan", **owned_by(owner)))
    plain.ask("DELETE", f"{MAPS}/parent", {"propagationPolicy": "Orphan"})
    plain.ask("POST", MAPS, config_map("stray", **owned_by(owner)))
    wait_for(lambda: plain.is_gone(f"{MAPS}/stray"))
    assert "ownerReferences" not in plain.ask("GET", f"{MAPS}/orphan")["metadata"]


def test_a_namespace_goes_with_all_that_is_in_it(plain):
    plain.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "brief"}})
    inside = "/api/v1/namespaces/brief/configmaps"
    plain.ask("POST", inside, config_map("held", finalizers=["test/held"]))
    wait_for(lambda: not plain.is_gone("/api/v1/namespaces/brief/serviceaccounts/default"))
    assert plain.ask("DELETE", "/api/v1/namespaces/brief")["status"] == {"phase": "Terminating"}
    status = plain.refused("POST", inside, config_map("late"))
    assert "because it is being terminated" in status["message"]
    wait_for(lambda: plain.ask("GET", f"{inside}/held")["metadata"].get("deletionTimestamp"))
    plain.patch(f"{inside}/held", {"metadata": {"finalizers": None}})
    wait_for(lambda: plain.is_gone("/api/v1/namespaces/brief"))


def test_an_owner_in_another_namespace_is_none():
    store = MemoryStore()
    owner = store.create(("", "configmaps"), config_map("owner", namespace="one"))
    store.create(("", "configmaps"), config_map("far", namespace="two", **owned_by(owner)))
    collect_garbage(store)
    assert [o["metadata"]["name"] for o in store.list(("", "configmaps"))] == ["owner"]


# Bad days


def test_the_next_requests_are_refused_as_asked(plain):
    plain.fail(answer=429, times=2, path=MAPS, retry_after_s=7)
    for _ in range(2):
        response = plain.client.get(MAPS)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
        assert response.json()["details"]["retryAfterSeconds"] == 7
    plain.ask("GET", MAPS)
    plain.fail(answer=503, method="POST")
    assert plain.refused("POST", MAPS, config_map("unlucky"))["reason"] == "ServiceUnavailable"
    plain.ask("GET", MAPS)


def test_a_busy_server_refuses_by_priority_and_fairness_but_no_logs_and_watches(plain):
    plain.fail(busy=True, times=1)
    with watch(plain, MAPS) as response:
        assert response.status_code == 200
    assert plain.client.get("/api/v1/namespaces/default/pods/p/log").status_code == 404
    response = plain.client.get(MAPS)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert "X-Kubernetes-PF-PriorityLevel-UID" in response.headers
    assert response.text == "Too many requests, please try again later.\n"
    plain.ask("GET", MAPS)


def test_a_server_started_anew_refuses_what_it_permits_until_it_is_ready(plain, reader):
    path = "/api/v1/namespaces/theirs/pods"
    plain.ask("GET", path, headers=reader)
    with watch(plain, MAPS) as response:
        lines = response.iter_lines()
        plain.fail(restart={"away_s": 0.3, "early_s": 0.6})
        with pytest.raises(httpx.TransportError):
            list(lines)
    with pytest.raises(httpx.ConnectError):
        httpx.get(plain.server, verify=False)
    wait_for(lambda: is_answered(plain, "/livez"))
    assert plain.client.get("/readyz").status_code == 500
    assert "cannot list resource" in plain.refused("GET", path, headers=reader)["message"]
    plain.ask("GET", path)
    wait_for(lambda: plain.client.get("/readyz").is_success)
    plain.ask("GET", path, headers=reader)


def is_answered(cluster, path):
    try:
        return cluster.client.get(path).is_success
    except httpx.TransportError:
        return False


def test_a_server_started_anew_does_not_know_accounts_at_once(plain, reader):
    path = "/api/v1/namespaces/theirs/pods"
    plain.fail(restart={"away_s": 0, "early_s": 0, "unknown_s": 0.5})
    wait_for(lambda: is_answered(plain, "/livez") and not is_answered(plain, "/readyz"))
    assert plain.refused("GET", path, headers=reader)["code"] == 401
    wait_for(lambda: plain.client.get("/readyz").is_success)
    plain.ask("GET", path, headers=reader)


async def test_freepages_client_outlives_a_server_that_is_started_anew(plain, reader, tmp_path):
    (tmp_path / "token").write_text(reader["Authorization"].split()[1])
    login = Login(
        server=plain.server,
        token_file=str(tmp_path / "token"),
        ca_file=str(plain.ca_file),
        namespace="theirs",
    )
    async with open_cluster(login) as api:
        await api.list(PODS, "theirs")
        plain.fail(restart={"away_s": 0.5, "early_s": 1.5, "unknown_s": 0.7})
        async with asyncio.timeout(30):
            for _ in range(20):
                await api.list(PODS, "theirs")
                await asyncio.sleep(0.1)


def test_a_quota_is_refused_in_its_own_words(plain):
    words = 'pods "p" is forbidden: exceeded quota: small, requested: pods=1, used: pods=10, limited: pods=10'
    plain.fail(answer=403, message=words, path="pods", method="POST")
    assert plain.refused("POST", "/api/v1/namespaces/default/pods", {})["message"] == words


def test_a_connection_may_be_cut_after_the_work_was_done(plain):
    plain.fail(cut=True, times=1, method="POST")
    with pytest.raises(httpx.TransportError):
        plain.client.post(MAPS, json=config_map("cut"))
    plain.ask("GET", f"{MAPS}/cut")


def test_open_watches_may_be_dropped(plain):
    with watch(plain, MAPS) as response:
        lines = response.iter_lines()
        next(lines)
        assert plain.fail(drop="watch") == {"done": 1}
        with pytest.raises(httpx.TransportError):
            list(lines)


def test_answers_may_be_slow_and_requests_are_remembered(plain):
    plain.requests()
    plain.fail(slow_s=0.3, times=1, path=MAPS)
    began = time.monotonic()
    plain.ask("GET", MAPS)
    assert time.monotonic() - began >= 0.3
    assert plain.requests() == [{"method": "GET", "path": MAPS, "user": "kubernetes-admin"}]


def test_only_the_admin_may_command(plain, reader):
    assert plain.refused("POST", "/-/faults", {"drop": "all"}, headers=reader)["code"] == 403
    assert "unexpected keyword" in plain.refused("POST", "/-/faults", {"nonsense": 1})["message"]


# The process


def test_it_ends_with_who_started_it(tmp_path):
    code = f"""
import subprocess, sys, time
p = subprocess.Popen([sys.executable, {str(MAIN)!r}, {str(tmp_path)!r}, "--no-nodes"], stdin=subprocess.PIPE)
print(p.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        cluster = int(parent.stdout.readline())
        assert parent.stdout.readline().startswith("ready ")
        parent.kill()
    wait_for(
        lambda: (
            not Path(f"/proc/{cluster}").exists() or "zombie" in Path(f"/proc/{cluster}/status").read_text()
        )
    )


def test_a_signal_ends_it_in_order(tmp_path):
    with start_cluster(tmp_path, "--no-nodes") as cluster:
        cluster.process.send_signal(signal.SIGTERM)
        assert cluster.process.wait(10) == 0

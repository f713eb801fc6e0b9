"""Pushes files as an image of one layer."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile

OCI = "application/vnd.oci.image"


def push_files(files, reference, folder):
    """Push an image that holds `files` (content by path) to a registry without TLS."""
    layer = folder / "layer"
    layer.write_bytes(pack(files))
    push_layer(layer, reference, folder)


def push_disk(disk, reference, folder):
    """Push a disk as KubeVirt's containerDisk; its holes are not sent."""
    layer = folder / "layer"
    entry = ["--sparse", "--format=gnu", "--owner=107", "--group=107", "--mode=0644"]
    renamed = ["--transform=s,.*,disk/disk.img,", "-C", disk.parent, disk.name]
    subprocess.run(["tar", *entry, "-cf", layer, *renamed], check=True)
    push_layer(layer, reference, folder)


def push_layer(file, reference, folder):
    """Push an image of one layer, a tar file that goes with it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    layer = take_blob(blobs, file, "layer.v1.tar")
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = write_json(blobs, {"architecture": "amd64", "os": "linux", "rootfs": rootfs}, "config.v1+json")
    manifest = write_json(
        blobs, {"schemaVersion": 2, "config": config, "layers": [layer]}, "manifest.v1+json"
    )
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci:{folder}:it", f"docker://{reference}"], check=True)


def pack(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def write_json(blobs, content, kind):
    return write_blob(blobs, json.dumps({"mediaType": f"{OCI}.{kind}", **content}).encode(), kind)


def write_blob(blobs, data, kind):
    file = blobs / "new"
    file.write_bytes(data)
    return take_blob(blobs, file, kind)


def take_blob(blobs, file, kind):
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    size = file.stat().st_size
    file.rename(blobs / digest)
    return {"mediaType": f"{OCI}.{kind}", "digest": f"sha256:{digest}", "size": size}

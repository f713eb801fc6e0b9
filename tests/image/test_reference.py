"""The names of images."""

from __future__ import annotations

import re

import pytest

from freepage.errors import StudyError
from freepage.image.reference import parse_reference


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("quay.io/me/freepage:1", "quay.io/me/freepage", "1"),
        ("docker://quay.io/me/free__page:V1.0-rc_1", "quay.io/me/free__page", "V1.0-rc_1"),
        ("127.0.0.1:5000/x:latest", "127.0.0.1:5000/x", "latest"),
        ("localhost/x:1", "localhost/x", "1"),
        ("registry:5000/a/b-c/d.e:1", "registry:5000/a/b-c/d.e", "1"),
    ],
)
def test_a_reference_is_read(text, repository, tag):
    reference = parse_reference(text)
    assert (reference.repository, reference.tag) == (repository, tag)
    assert str(reference) == text.removeprefix("docker://")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("freepage", "names no registry"),
        ("me/freepage:1", "names no registry"),
        ("https://quay.io/me/freepage:1", "names no registry"),
        ("quay.io/me/freepage", "has no tag"),
        ("quay.io/me/freepage:", "has no tag"),
        ("quay.io/me/freepage:-1", "has '-1' for a tag"),
        ("quay.io/Me/freepage:1", "upper case in its name; quay.io/me/freepage would do"),
        ("quay.io/me//freepage:1", "has 'me//freepage' for a name"),
        ("quay.io/:1", "has '' for a name"),
        ("quay.io/me/freepage:1@sha256:0", "names a digest"),
    ],
)
def test_a_reference_that_is_none_is_refused(text, reason):
    with pytest.raises(StudyError, match=re.escape(reason)) as caught:
        parse_reference(text)
    assert "REGISTRY/NAME:TAG" in caught.value.hint

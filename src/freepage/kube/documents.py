"""Documents of people and plugins: JSON or YAML, read as kubectl reads them."""

from __future__ import annotations

import json
from typing import Any

from freepage.kube.encoding import EncodingError, decode_text
from freepage.kube.yaml_documents import YamlError, read_documents


def parse_document(data: bytes) -> Any:
    """Parse JSON, else the first document of YAML; None where there is nothing.

    Raises ValueError with words to follow "...", and without quoting what may hold secrets.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _parse_yaml(data)


def _parse_yaml(data: bytes) -> Any:
    try:
        return next(read_documents(decode_text(data)), None)
    except EncodingError:
        raise ValueError("is no YAML: it is no text") from None
    except YamlError as error:
        place, _, _ = str(error).partition(":")
        raise ValueError(f"is no YAML ({place})") from None

"""Documents of people and plugins: JSON or YAML, read as kubectl reads them."""

from __future__ import annotations

import json
from typing import Any

import yaml

# A tag on a value that does not fit it makes PyYAML's own constructors raise these.
FAULTS = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class DocumentLoader(yaml.SafeLoader):
    """YAML as Go reads it: dates are texts, as in JSON, and tabs may stand where they indent nothing."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()


DocumentLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_document(data: bytes) -> Any:
    """Parse JSON, else the first document of YAML, in UTF-8 or (with its mark) UTF-16; None where there is nothing.

    Raises ValueError with words to follow "...", and without quoting what may hold secrets.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _parse_yaml(data)


def _parse_yaml(data: bytes) -> Any:
    try:
        return next(yaml.load_all(data, DocumentLoader), None)
    except FAULTS as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        tab = " where a tab stands" if r"'\t'" in str(getattr(error, "problem", "")) else ""
        raise ValueError(f"is no YAML{tab}{line}") from None

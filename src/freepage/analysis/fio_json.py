"""The JSON in what fio wrote: other words may stand around it, and it is not always JSON."""

from __future__ import annotations

import json
import re

# fio writes what it could not compute as C does (bw_dev, percentages of nothing).
_NO_NUMBER = re.compile(r"(:\s*)[-+]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_OBJECT = re.compile(r'\{\s*"')
_RESULT = re.compile(r'\{\s*"(?:fio version|jobs)"')


def read_last_result(text: str) -> dict[str, object] | None:
    """Return the last whole result in a text: an object with "jobs".

    None without one, and where the last one is cut off: one before it is only a snapshot of an fio that went on.
    """
    cleaned = _NO_NUMBER.sub(r"\1null", text)
    found: dict[str, object] | None = None
    end = 0
    while (beginning := _OBJECT.search(cleaned, end)) is not None:
        try:
            content, end = json.JSONDecoder().raw_decode(cleaned, beginning.start())
        except RecursionError:
            return None
        except ValueError:
            if _RESULT.match(cleaned, beginning.start()):
                return None
            end = beginning.end()
        else:
            found = content if "jobs" in content else found
    return found

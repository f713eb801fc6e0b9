"""The script that draws a page's figures, which goes into the page so that it needs no network."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib.metadata import version

from freepage.cache import cache_folder, keep
from freepage.errors import HostError

# What the script on the page calls by name.
_GLOBALS = "window.vegaEmbed = vegaEmbed;"


def read_bundle() -> str:
    """Return vega-embed and all that it needs, safe inside a script element.

    Putting it together takes a second, so it is kept in the cache, where there is one.
    """
    made_by = f"{version('vl-convert-python')} {_GLOBALS}".encode()
    name = f"vega-{hashlib.sha256(made_by).hexdigest()[:16]}.js"
    with suppress(HostError, OSError, UnicodeDecodeError):
        return (cache_folder() / name).read_bytes().decode()
    bundle = _make_bundle()
    with suppress(HostError, OSError):
        keep(name, bundle.encode())
    return bundle


def _make_bundle() -> str:
    import vl_convert

    return vl_convert.javascript_bundle(_GLOBALS).replace("</script", "<\\/script")

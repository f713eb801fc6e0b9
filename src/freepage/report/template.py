"""The pages' templates: offline HTML with figures that are drawn in the browser, and tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from freepage.report.arms import ARM_STYLES, REFERENCE_COLOUR
from freepage.report.bundle import read_bundle
from freepage.report.table import table_csv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from freepage.report.chart import Figure
    from freepage.report.table import Table


def fill_template(name: str, figures: Sequence[Figure], tables: Sequence[Table], **values: object) -> str:
    """Return a whole page, which needs no network and no other file; `values` are what its template says by name."""
    return (
        _environment()
        .get_template(name)
        .render(
            figures=figures,
            tables=tables,
            csv={t.id: table_csv(t) for t in tables},
            arm_styles={str(arm): style for arm, style in ARM_STYLES.items()},
            reference_colour=REFERENCE_COLOUR,
            specs=_script_json({f.id: f.spec for f in figures}),
            absolutes=_script_json({f.id: f.absolute for f in figures if f.absolute is not None}),
            bundle=read_bundle() if figures else "",
            **values,
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("freepage.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _script_json(content: object) -> str:
    """Return JSON that is safe inside a script element."""
    return (
        json.dumps(content, allow_nan=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
    )

"""The one console that freepage prints on: no text can be more than text there, whoever it comes from.

Nothing is read as markup. A plain string is one line, also in a table's cell; `words` gives parts of it a style, and
`lines` makes several lines of it. No other module makes a rich Console or Text (pyproject.toml bans it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from freepage.report.printable import printable, printable_lines, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

    from rich.console import JustifyMethod, OverflowMethod
    from rich.style import Style

# A text, or a text with the style it is shown in.
Part = str | tuple[str, str]
# One or more lines, ready to be printed: only `words`, `lines` and `paragraph` make them.
Words = Text


class Terminal(Console):
    """A console on which every string is shown as it is, with escapes for what is not printable.

    wrap: break lines at the terminal's width, as tables need it; without it they are as long as they are.
    """

    def __init__(self, file: TextIO | None = None, *, wrap: bool = True) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False, soft_wrap=not wrap)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        highlighter: Callable[[str | Text], Text] | None = None,
    ) -> Text:
        """Return a string as rich will show it; this is how it reads every string it is given."""
        del emoji, markup, highlight, highlighter
        return Text(_show(text), style=style, justify=justify, overflow=overflow)

    def say(self, *parts: Part, style: str = "") -> None:
        """Print one line, whose parts may have a style each."""
        self.print(words(*parts, style=style))


def words(*parts: Part, style: str = "") -> Words:
    """Return one line, whose parts may have a style each."""
    line = Text(style=style)
    for part in parts:
        text, own = (part, None) if isinstance(part, str) else part
        line.append(_show(text), style=own)
    return line


def lines(texts: Iterable[Words | str]) -> Words:
    """Return several lines, as for one cell of a table."""
    return Text("\n").join(text if isinstance(text, Text) else words(text) for text in texts)


def paragraph(text: str, style: str = "") -> Words:
    """Return text that may have lines of its own, such as the last ones of a console."""
    return Text(printable_lines(text), style=style)


def _show(text: str) -> str:
    return printable(shorten(text))

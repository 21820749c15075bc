"""Pages: Jinja templates with everything escaped, and the filters that write figures and times.

Does not belong here: what a page shows; each room of routes gathers that.
"""

import datetime as dt
from pathlib import Path
from typing import Any, Final

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from spendsense_pipeline.service.callers import Caller
from spendsense_pipeline.service.state import of

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"

_PAGES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "pages"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def page(
    request: Request, template: str, *, caller: Caller | None = None, status: int = 200, **shown: Any
) -> HTMLResponse:
    """The template as a page; ``caller`` is who looks at it and None where nobody is logged in."""
    service = of(request)
    text = _PAGES.get_template(template).render(
        caller=caller,
        csrf=caller.csrf if caller else "",
        now=service.now(),
        path=request.url.path,
        status=status,
        **shown,
    )
    return HTMLResponse(text.encode(errors="replace"), status)


def moment(value: dt.datetime | None) -> str:
    """`24 Nov 2026, 09:05 UTC`; a dash for none."""
    return value.astimezone(dt.UTC).strftime("%-d %b %Y, %H:%M UTC") if value else "–"


def day(value: dt.date | str | None) -> str:
    """`24 Nov 2026`; a dash for none."""
    if isinstance(value, str):
        value = dt.date.fromisoformat(value[:10])
    return value.strftime("%-d %b %Y") if value else "–"


def words(value: str) -> str:
    """An identifier as words: `high_utilization` is `high utilization`."""
    return value.replace("_", " ")


_PAGES.filters |= {"moment": moment, "day": day, "words": words}

"""Parameters that several routes have, with the bounds of what the databases can hold."""

import datetime as dt
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime


def _in_utc(moment: dt.datetime) -> dt.datetime:
    try:
        return moment.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment with its zone, turned to UTC."""
Offset = Annotated[int, Query(ge=0, lt=2**31)]
"""How many rows to leave out."""
Place = Annotated[int, Query(ge=0, lt=2**63)]
"""A place in the audit chain."""

"""How long things last, in one table: drafts, rejections, approvals, logins, links.

Belongs here: every span of time that was decided for the product and that more than one place holds to or a reader
would look for. Does not belong here: windows of signals and insights, which stand beside their definitions with their
sources, nor what a deployment sets (``settings``).
"""

import datetime as dt
from typing import Final

LONGEST: Final = 36_500
"""Days in a setting or a rule, a hundred years: what is longer has no limit, and the calendar ends."""

# Texts. By the clock, unless it says "by as_of".
DRAFT_LIFE: Final = dt.timedelta(days=14)
"""A draft that nobody released by then expires: its figures are no longer the customer's."""
NEAR_EXPIRY: Final = dt.timedelta(days=3)
"""So long before its end a draft comes before older ones, and the operators' check turns from warning to error."""
NOT_REPEATED: Final = DRAFT_LIFE
"""By as_of: so long, what was released is not said again unchanged, and keeps its place among the customer's texts."""
REPEATED_LATER: Final = dt.timedelta(days=30)
"""By as_of: the same piece is not shown twice within this time unless nothing else fits."""
REJECTION: Final = dt.timedelta(days=90)
"""A rejection keeps the template, or the product, from that customer so long; drafting counts it by as_of."""
CAPPED: Final = dt.timedelta(days=7)
"""The weekly cap counts a customer's texts over this time."""
STANDING_APPROVAL: Final = dt.timedelta(days=90)
"""An operator looks at a wording again at least this often."""
LOOKING: Final = dt.timedelta(minutes=2)
"""Whoever opened a text counts as looking at it so long."""

# People and programs.
LOCK_OUT: Final = dt.timedelta(minutes=15)
"""How long a name stays locked after failed attempts, and how far back attempts count."""
SESSION: Final = dt.timedelta(hours=8)
"""A login, from its beginning."""
LOGIN_FORM: Final = dt.timedelta(hours=1)
"""How long a login form may stand open."""
LOGIN_LINK: Final = dt.timedelta(minutes=15)
"""How long a link that logs its operator in opens, once."""
CUSTOMER_LINK: Final = dt.timedelta(minutes=30)
"""How long a link to a customer's own page works."""
EXPORT_LINK: Final = dt.timedelta(hours=1)
"""How long a link to an export opens it without an account."""
EVENT_AHEAD: Final = dt.timedelta(minutes=10)
"""How far the clock of an app that reports events may be ahead of ours."""

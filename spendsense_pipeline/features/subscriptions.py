"""What a customer's subscriptions come to in a window. Which payments are subscriptions is judged in ``streams.py``."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ibis

EXPECTED_WITHIN_DAYS = 3  # a charge due in the next days is reported before it comes
LEAST_HISTORY_DAYS = 60  # below it, finding no subscription says nothing: two monthly charges may not fit


def subscription_lines(streams: ibis.Table, hits: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """One row per mature, active subscription: ``user_id, stream_id, monthly_cost`` and two columns per window ``w``.

    ``charged_w`` is what it took in the window (positive, null without a charge), ``counted_w`` whether the window
    reports it: charged in it, or expected in it or within three days. ``streams`` and ``hits`` are
    ``streams.recurring_streams`` and ``streams.stream_hits``.
    """
    today = ibis.literal(as_of)
    active = streams.filter((streams.kind == "subscription") & (streams.status == "mature"))
    recent = hits.filter(hits.date > ibis.literal(_start(as_of, max(windows))))
    charged = recent.group_by("stream_id").agg(
        **{
            f"charged_{window}": (-recent.amount).sum(where=recent.date > ibis.literal(_start(as_of, window)))
            for window in windows
        }
    )
    lines = active.left_join(charged, "stream_id").drop("stream_id_right")
    due = lines.expected_next_date
    within = due <= today + ibis.interval(days=EXPECTED_WITHIN_DAYS)
    counted = {
        f"counted_{window}": (
            lines[f"charged_{window}"].notnull() | ((due > ibis.literal(_start(as_of, window))) & within)
        ).fill_null(False)
        for window in windows
    }
    charges = [f"charged_{window}" for window in windows]
    return lines.select("user_id", "stream_id", "monthly_cost", *charges, **counted)


def subscription_sums(streams: ibis.Table, hits: ibis.Table, as_of: dt.date, windows: Sequence[int]) -> ibis.Table:
    """One row per customer with a mature, active subscription; three columns per window ``w``.

    ``streams_w`` counts those that ``subscription_lines`` says the window reports, ``monthly_w`` is what they cost a
    month, ``charged_w`` what they took in the window (both positive).
    """
    lines = subscription_lines(streams, hits, as_of, windows)
    sums: dict[str, Any] = {}
    for window in windows:
        counted = lines[f"counted_{window}"]
        sums[f"streams_{window}"] = counted.sum()
        sums[f"monthly_{window}"] = lines.monthly_cost.sum(where=counted)
        sums[f"charged_{window}"] = lines[f"charged_{window}"].sum()
    return lines.group_by("user_id").agg(**sums)


def _start(as_of: dt.date, window: int) -> dt.date:
    return as_of - dt.timedelta(days=window)

"""One customer or all of them: users, profile, signals, insights, calendar."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from spendsense_pipeline.cli.frame import app, as_of_option, paged, shared
from spendsense_pipeline.cli.output import Shown, cell, columns
from spendsense_pipeline.cli.runtime import day_of, live_scopes
from spendsense_pipeline.settings import Settings

if TYPE_CHECKING:
    from spendsense_pipeline import profiles

of_customer = shared(click.argument("user_id"), as_of_option)


def _customer(user_id: str, as_of: dt.datetime | None, *windows: int) -> "profiles.Customer":
    from spendsense_pipeline import profiles

    settings = Settings()
    return profiles.Customer(
        settings.warehouse_root, user_id, day_of(as_of), windows or profiles.WINDOWS, settings.payees
    )


@app.command()
@click.option("--type", "user_type", type=click.Choice(["customer", "operator"]))
@click.option("--consent", type=bool, help="true: live consent in any scope.")
@click.option("--persona")
@paged
def users(**chosen: Any) -> Shown:
    """List people with their consent and newest personas."""
    from spendsense_pipeline import profiles

    settings = Settings()
    found = profiles.users(settings.warehouse_root, live_scopes(settings), **chosen)
    rows = [
        {
            "user_id": row["user_id"],
            "type": row["user_type"],
            "consent": " ".join(_live(row["consent"])) or "none",
            "30 days": row["personas"]["30"],
            "180 days": row["personas"]["180"],
        }
        for row in found["users"]
    ]
    names = ["user_id", "type", "consent", "30 days", "180 days"]
    return Shown(found, [*columns(rows, names), f"{len(rows)} of {found['total']}"])


@app.command()
@click.argument("user_id")
@as_of_option
@click.option("--window", type=click.IntRange(1, 365), help="Days; default the two standard windows.")
def profile(user_id: str, as_of: dt.datetime | None, window: int | None) -> Shown:
    """A customer's consent, features and personas."""
    found = _customer(user_id, as_of, *([window] if window else [])).profile(live_scopes(Settings(), user_id))

    def lines() -> Iterable[str]:
        yield f"{user_id} on {found['as_of']}; consent: {', '.join(_live(found['consent'])) or 'none'}"
        for days, verdict in found["personas"].items():
            kind = "fallback" if verdict["is_fallback"] else f"confidence {verdict['confidence']:.2f}"
            yield f"{days} days: {verdict['persona']} ({kind})"
            for reason in verdict["reasons"]:
                if reason["met"]:
                    yield (
                        f"    {reason['clause']}: {reason['signal']} = {cell(reason['value'])} "
                        f"{reason['operator']} {cell(reason['threshold'])}"
                    )
        windows = found["features"]
        if not windows:
            yield "no figures: on this day the customer was not known yet"
            return
        names = list(next(iter(windows.values())))
        rows = [{"signal": name, **{days: row[name] for days, row in windows.items()}} for name in names]
        yield from columns(rows, ["signal", *windows])

    return Shown(found, lines())


def _live(consent: Mapping[str, bool]) -> list[str]:
    return [scope for scope, live in consent.items() if live]


@app.command()
@of_customer
def signals(user_id: str, as_of: dt.datetime | None) -> Shown:
    """The operator's view: each figure in both windows, and the streams, accounts, cards and pay behind it."""
    found = _customer(user_id, as_of).signals()
    return Shown(found, _signal_lines(found))


@app.command()
@of_customer
def insights(user_id: str, as_of: dt.datetime | None) -> Shown:
    """What a customer's money says now: each insight with its figures and what it rests on."""
    found = _customer(user_id, as_of).insights()

    def lines() -> Iterable[str]:
        yield f"{user_id} on {found['as_of']}" + ("" if found["insights"] else ": nothing stands out")
        for one in found["insights"]:
            case = f" ({one['detail']})" if one["detail"] else ""
            yield f"{one['severity']}: {one['insight']}{case}, {one['happened_on']}"
            yield "    " + ", ".join(f"{name} {cell(value)}" for name, value in one["figures"].items())
            rests = [f"{kind} {' '.join(ids)}" for kind, ids in one["evidence"].items()]
            yield from (f"    rests on {each}" for each in rests)

    return Shown(found, lines())


@app.command()
@of_customer
def calendar(user_id: str, as_of: dt.datetime | None) -> Shown:
    """The coming 30 days: what is expected in and out, and the checking balance with its interval."""
    found = _customer(user_id, as_of).calendar()

    def lines() -> Iterable[str]:
        held = "unknown" if found["balance"] is None else f"{found['balance']:,.2f} on {found['balance_date']}"
        yield f"{user_id} after {found['as_of']}; checking {held}; next payday {cell(found['next_payday'])}"
        yield from columns(found["dates"], ["date", "merchant", "kind", "cadence", "amount"])
        yield ""
        yield from columns(found["forecast"], ["date", "low", "expected", "high"])

    return Shown(found, lines())


def _signal_lines(found: Mapping[str, Any]) -> Iterable[str]:
    yield f"{found['user_id']} on {found['as_of']}"
    windows = found["windows"]
    if not windows:
        yield "no figures: on this day the customer was not known yet"
        return
    longest = windows[max(windows, key=int)]
    for family in longest:
        yield ""
        shown = [name for name, value in longest[family].items() if not isinstance(value, list)]
        rows = [
            {family: name, **{f"{days} days": figures[family][name] for days, figures in windows.items()}}
            for name in shown
        ]
        yield from columns(rows, [family, *(f"{days} days" for days in windows)])
        for name, listed in longest[family].items():
            if isinstance(listed, list):
                rows = _side_by_side([figures[family][name] for figures in windows.values()], list(windows))
                yield f"  {name}:" if rows else f"  {name}: none"
                names = [column for column in rows[0] if column != "stream_id"] if rows else []
                yield from (f"    {line}" for line in columns(rows, names) if rows)


def _side_by_side(lists: list[list[dict[str, Any]]], days: list[str]) -> list[dict[str, Any]]:
    """The lists of all windows as one: the longest one, with a column per window for what differs between them."""
    longest = max(lists, key=len)
    if any(len(one) != len(longest) for one in lists):
        return longest
    differing = {name for rows in zip(*lists, strict=True) for name in rows[0] if len({str(r[name]) for r in rows}) > 1}
    return [
        {
            **{name: value for name, value in rows[0].items() if name not in differing},
            **{f"{name} {day}": row[name] for name in sorted(differing) for day, row in zip(days, rows, strict=True)},
        }
        for rows in zip(*lists, strict=True)
    ]

"""Consent in periods: a grant opens one, a grant while it lives renews it, a revocation closes it for good.

Closing a period voids in the same transaction what was waiting under it and recalls what was released; a later
grant opens a new period and brings nothing back. Belongs here: everything that opens, renews or closes a period.
Does not belong here: what a live period allows (``release``).
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, func, select, true
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, draft_events, endings, policy
from spendsense_pipeline.governance.database import (
    AnyRow,
    AnySelect,
    add_rows,
    chunks,
    columns,
    fields,
    is_name,
    matching,
    quoted,
    reading,
    set_among,
    storable,
    writing,
)
from spendsense_pipeline.governance.encoding import identifier, sha256
from spendsense_pipeline.governance.models import (
    SCOPES,
    ConsentEvent,
    ConsentPeriod,
    ConsentText,
    Recommendation,
    Release,
)
from spendsense_pipeline.governance.tombstones import require_not_erased

Moment = dt.datetime | ColumnElement[dt.datetime]
"""A moment, or the parameter that stands for one in a statement that is kept."""

UNSTATED = "unstated"
"""Said where a source does not say which text the customer agreed to, or through which channel."""


def unidentified(source: str, where: str) -> str:
    """A source as it is kept where nobody checks who passes a word on: whatever is typed, the record says that.

    >>> unidentified("signed form", "in Dagster's Launchpad")
    "signed form (typed in Dagster's Launchpad, not identified)"
    """
    return f"{source} (typed {where}, not identified)"


def agreed_at() -> ColumnElement[dt.datetime]:
    """When the customer last agreed, as far as known: what a limited life counts from."""
    return func.coalesce(ConsentPeriod.renewed_at, ConsentPeriod.granted_at, ConsentPeriod.opened_at)


def is_live(now: dt.datetime, consent_days: int = 0) -> ColumnElement[bool]:
    """The SQL condition that a period is live at ``now``; ``consent_days`` 0 sets no limit to its life."""
    return lives(now, now - dt.timedelta(days=consent_days) if consent_days else None)


def lives(now: Moment, agreed_after: Moment | None) -> ColumnElement[bool]:
    """The SQL condition that a period is live at ``now``; None sets no limit to how long ago the customer agreed."""
    within = true() if agreed_after is None else agreed_at() > agreed_after
    return and_(ConsentPeriod.closed_at.is_(None), ConsentPeriod.opened_at <= now, within)


def change(
    engine: Engine,
    user_id: str,
    action: str,
    now: dt.datetime,
    *,
    require_arrived: Callable[[str], object],
    consent_days: int,
    text_version: str = UNSTATED,
    **said: Any,
) -> list[dict[str, Any]]:
    """A customer's word as somebody passes it on: ``grant`` or ``revoke``, ``said`` as for ``revoke``.

    ``require_arrived`` refuses an id that never arrived: a grant under a mistyped one would wait there for its owner,
    and nobody may believe that it was revoked. Raises ``unknown_action``, and as ``grant`` and ``revoke``.
    """
    if action not in ("grant", "revoke"):
        raise SpendSenseError(f"`action` is grant or revoke, not {action!r}", code="unknown_action")
    with reading(engine) as session:
        known = bool(history(session, user_id))
    if action == "grant" or not known:
        require_arrived(user_id)
    with writing(engine) as session:
        if action == "revoke":
            return revoke(session, user_id, now, **said)
        return grant(session, user_id, now, text_version=text_version, consent_days=consent_days, **said)


def grant(
    session: Session,
    user_id: str,
    now: dt.datetime,
    *,
    scopes: Sequence[str] = SCOPES,
    actor: str,
    source: str,
    channel: str = UNSTATED,
    text_version: str = UNSTATED,
    consent_days: int = 0,
) -> list[dict[str, Any]]:
    """Open a period in each scope, or renew the one that lives: [{scope, consent_id, status}].

    ``status`` is ``granted`` or ``renewed``. A period that outlived ``consent_days`` is closed first, with all that
    closing means, so a late grant does not revive what had lapsed.
    """
    _require_scopes(user_id, scopes, actor, source, channel, text_version)
    require_not_erased(session, user_id)
    close_lapsed(session, now, consent_days, user_id=user_id)
    live = _live_periods(session, user_id)
    renewed = [live[scope] for scope in scopes if scope in live]
    opened = _new_periods(session, [(user_id, scope, now) for scope in scopes if scope not in live], now)
    set_among(session, ConsentPeriod.consent_id, [period.consent_id for period in renewed], renewed_at=now)
    provenance = {"text_version": text_version, "channel": channel, "source": source, "actor": actor}
    events = [_event(period, "opened", now, granted_at=now, **provenance) for period in opened]
    events += [_event(period._mapping, "renewed", now, granted_at=now, **provenance) for period in renewed]
    audit.record(session, ConsentEvent, events, now)
    status = {"opened": "granted", "renewed": "renewed"}
    return [
        {"scope": event["scope"], "consent_id": event["consent_id"], "status": status[event["action"]]}
        for event in sorted(events, key=lambda event: SCOPES.index(event["scope"]))
    ]


def revoke(
    session: Session,
    user_id: str,
    now: dt.datetime,
    *,
    scopes: Sequence[str] = SCOPES,
    actor: str,
    source: str,
    channel: str = UNSTATED,
    reason: str = "revoked",
) -> list[dict[str, Any]]:
    """Close the live period of each scope: [{scope, consent_id, status, voided, recalled}].

    ``status`` is ``revoked``, or ``not_live`` (with consent_id None) where there was nothing to close. ``voided`` and
    ``recalled`` are the recommendation ids that this took out of review and out of the feed.

    A no in a scope where nobody ever said yes leaves a period behind that was closed as it was opened, both events
    with the reason ``refused``, so that no file opens one later.
    """
    _require_scopes(user_id, scopes, actor, source, channel, reason)
    live = _live_periods(session, user_id)
    ever = set(session.scalars(select(ConsentPeriod.scope).where(ConsentPeriod.user_id == user_id)))
    never = [(user_id, scope, None) for scope in scopes if scope not in ever]
    if never:
        require_not_erased(session, user_id)
    refused = _new_periods(session, never, now, closed=True)
    provenance: dict[str, Any] = {"text_version": None, "channel": channel, "source": source, "actor": actor}
    events = [
        _event(period, action, now, **provenance | {"granted_at": None, "reason": "refused"})
        for action in ("opened", "closed")
        for period in refused
    ]
    audit.record(session, ConsentEvent, events, now)
    ending = [live[scope] for scope in scopes if scope in live]
    voided, recalled = _close(session, ending, now, reason=reason, provenance=provenance)
    found = []
    for scope in scopes:
        consent_id = live[scope].consent_id if scope in live else None
        row = {"scope": scope, "consent_id": consent_id, "status": "revoked" if consent_id else "not_live"}
        found.append(row | {"voided": voided.get(consent_id, []), "recalled": recalled.get(consent_id, [])})
    return found


def close_lapsed(session: Session, now: dt.datetime, consent_days: int, *, user_id: str | None = None) -> list[str]:
    """Close the periods that outlived ``consent_days`` (0: none); returns the recommendations recalled."""
    consent_days = policy.limit(session, consent_days)
    if not consent_days:
        return []
    lapsed = agreed_at() <= now - dt.timedelta(days=consent_days)
    query = _open_periods().where(lapsed, ConsentPeriod.user_id == user_id if user_id else true())
    ending = session.execute(query.order_by(ConsentPeriod.consent_id)).all()
    provenance = {"text_version": None, "channel": "clock", "source": "settings", "actor": "spendsense"}
    _, recalled = _close(session, ending, now, reason="lapsed", provenance=provenance)
    return sorted(name for names in recalled.values() for name in names)


def open_first_periods(session: Session, users: Iterable[Mapping[str, Any]], now: dt.datetime, *, source: str) -> int:
    """Open the first period of both scopes for users whose file says that they consented; returns how many.

    ``users`` hold user_id, consent_status, consent_granted_at, consent_revoked_at. Whoever was ever asked here, in
    whatever scope and with whatever answer, is left alone: a file knows no scopes and must not undo what a person
    said. Not opened: a status that is not true, a revocation that is not older than the grant, a grant in the future.
    A grant without date is recorded as without date.
    """
    wanted = {
        user["user_id"]: _moment(user.get("consent_granted_at"))
        for user in users
        if _says_yes(user, now) and is_name(user["user_id"])
    }
    ever = matching(session, select(ConsentPeriod.user_id).distinct(), ConsentPeriod.user_id, wanted)
    asked = {row.user_id for row in ever}
    first = [
        (user_id, scope, granted_at)
        for user_id, granted_at in sorted(wanted.items())
        for scope in SCOPES
        if user_id not in asked
    ]
    periods = _new_periods(session, first, now)
    provenance = {"text_version": UNSTATED, "channel": "file", "source": source}
    events = [
        _event(period, "opened", now, granted_at=period["granted_at"], actor=period["user_id"], **provenance)
        for period in periods
    ]
    audit.record(session, ConsentEvent, events, now)
    return len(periods)


def close_revoked_by_files(
    session: Session, users: Iterable[Mapping[str, Any]], now: dt.datetime, *, source: str
) -> int:
    """Close the periods that a file says were revoked after they were granted; returns how many.

    ``users`` hold user_id and consent_revoked_at, whatever their status. A period is closed in both scopes, with all
    that closing means, when the revocation is not older than its last grant; where a grant has no date the revocation
    counts, as it does in ``open_first_periods``. One in the future is left for the file that comes then.
    """
    revoked: dict[str, dt.datetime] = {}
    for user in users:
        moment = _moment(user.get("consent_revoked_at"))
        if moment is not None and moment <= now and is_name(user["user_id"]):
            revoked[user["user_id"]] = max(moment, revoked.get(user["user_id"], moment))
    agreed = func.coalesce(ConsentPeriod.renewed_at, ConsentPeriod.granted_at).label("agreed")
    live = _open_periods().add_columns(agreed).order_by(ConsentPeriod.user_id, ConsentPeriod.scope)
    ended = [
        period
        for period in matching(session, live, ConsentPeriod.user_id, sorted(revoked))
        if period.agreed is None or period.agreed <= revoked[period.user_id]
    ]
    provenance = {"text_version": None, "channel": "file", "source": source}
    _close(session, ended, now, reason="revoked", provenance=provenance)
    return len(ended)


def live_consents(
    session: Session, now: dt.datetime, consent_days: int = 0, user_id: str | None = None
) -> Sequence[Row[str, str, str, dt.datetime]]:
    """The periods live at ``now``, of everybody or one customer: (user_id, scope, consent_id, granted_at), ordered by
    customer and scope.

    ``granted_at`` is null where the source gave no date.
    """
    granted_at = func.coalesce(ConsentPeriod.renewed_at, ConsentPeriod.granted_at).label("granted_at")
    whose = [] if user_id is None else [ConsentPeriod.user_id == user_id]
    return session.execute(
        select(ConsentPeriod.user_id, ConsentPeriod.scope, ConsentPeriod.consent_id, granted_at)
        .where(is_live(now, policy.limit(session, consent_days)), *whose)
        .order_by(ConsentPeriod.user_id, ConsentPeriod.scope)
    ).all()


def live_scopes(
    session: Session, now: dt.datetime, consent_days: int = 0, user_id: str | None = None
) -> dict[str, dict[str, bool]]:
    """Of everybody with live consent, or of one customer: user_id -> scope -> whether it lives."""
    found: dict[str, dict[str, bool]] = {}
    for row in live_consents(session, now, consent_days, user_id):
        found.setdefault(row.user_id, dict.fromkeys(SCOPES, False))[row.scope] = True
    return found


def periods(session: Session, user_id: str, now: dt.datetime, consent_days: int = 0) -> list[dict[str, Any]]:
    """A customer's periods, oldest first: consent_id, scope, ordinal, granted_at, opened_at, renewed_at, closed_at,
    expires_at (None without limit or once closed) and live.
    """
    return periods_of(session, [user_id], now, consent_days)[user_id]


def periods_of(
    session: Session, user_ids: Iterable[str], now: dt.datetime, consent_days: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """The periods of each of these customers, as ``periods``; of who has none, an empty list."""
    periods: dict[str, list[dict[str, Any]]] = {user_id: [] for user_id in user_ids}
    consent_days = policy.limit(session, consent_days)
    found = select(ConsentPeriod, agreed_at(), is_live(now, consent_days)).order_by(
        ConsentPeriod.opened_at, ConsentPeriod.scope, ConsentPeriod.ordinal
    )
    readable = [user_id for user_id in periods if storable(user_id)]
    for period, agreed, live in matching(session, found, ConsentPeriod.user_id, readable):
        limited = bool(consent_days) and period.closed_at is None
        expires = agreed + dt.timedelta(days=consent_days) if limited else None
        row = fields(period, "consent_id scope ordinal granted_at opened_at renewed_at closed_at")
        periods[period.user_id].append(row | {"expires_at": expires, "live": bool(live)})
    return periods


def history(session: Session, user_id: str) -> list[dict[str, Any]]:
    """All that happened to a customer's consent, oldest first: one dict per event."""
    if not storable(user_id):
        return []
    events = session.scalars(select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.seq))
    return [event_row(event) for event in events]


def event_row(event: ConsentEvent) -> dict[str, Any]:
    """A consent event as people read it."""
    row = fields(event, "consent_id scope action granted_at text_version channel source actor reason")
    return row | {"at": event.recorded_at}


_Ids = dict[str | None, list[str]]
"""Recommendation ids by consent period."""


def _close(
    session: Session, periods: Sequence[AnyRow], now: dt.datetime, *, reason: str, provenance: dict[str, Any]
) -> tuple[_Ids, _Ids]:
    """Close the periods: what was voided that waited under them, what was recalled that was released under them.

    ``provenance`` names text_version, channel, source and actor; the actor is the customer unless it says otherwise.
    """
    voided: _Ids = defaultdict(list)
    recalled: _Ids = defaultdict(list)
    ids = [period.consent_id for period in periods]
    set_among(session, ConsentPeriod.consent_id, ids, closed_at=now)
    for some in chunks(ids):
        for row in draft_events.close(session, Recommendation.consent_id.in_(some), "voided", now):
            voided[row["consent_id"]].append(row["recommendation_id"])
    events = [
        _event(
            period._mapping,
            "closed",
            now,
            **{"actor": period.user_id, "granted_at": None, "reason": reason} | provenance,
        )
        for period in periods
    ]
    audit.record(session, ConsentEvent, events, now)
    for some in chunks(ids):
        released = endings.standing(session, Release.consent_id.in_(some))
        endings.end(session, released, reason, now)
        for release in released:
            recalled[release.consent_id].append(release.recommendation_id)
    return voided, recalled


def _live_periods(session: Session, user_id: str) -> dict[str, AnyRow]:
    return {row.scope: row for row in session.execute(_open_periods().where(ConsentPeriod.user_id == user_id))}


def _open_periods() -> AnySelect:
    return select(*columns(ConsentPeriod, "consent_id user_id scope")).where(ConsentPeriod.closed_at.is_(None))


def _new_periods(
    session: Session, wanted: Sequence[tuple[str, str, dt.datetime | None]], now: dt.datetime, *, closed: bool = False
) -> list[dict[str, Any]]:
    """Insert a period for each (user, scope, granted_at), numbered after those the customer had before.

    ``closed``: they end the moment they begin.
    """
    scopes = (ConsentPeriod.user_id, ConsentPeriod.scope)
    last = select(*scopes, func.max(ConsentPeriod.ordinal)).group_by(*scopes)
    users = {user_id for user_id, _, _ in wanted}
    had = {
        (user_id, scope): ordinal for user_id, scope, ordinal in matching(session, last, ConsentPeriod.user_id, users)
    }
    periods = []
    for user_id, scope, granted_at in wanted:
        ordinal = had.get((user_id, scope), 0) + 1
        periods.append(
            {
                "consent_id": _consent_id(user_id, scope, ordinal),
                "user_id": user_id,
                "scope": scope,
                "ordinal": ordinal,
                "granted_at": granted_at,
                "opened_at": now,
                "closed_at": now if closed else None,
            }
        )
    add_rows(session, ConsentPeriod, periods)
    return periods


def _consent_id(user_id: str, scope: str, ordinal: int) -> str:
    # Derived, not drawn: the same customers and grants give the same recommendation ids in any database.
    named = json.dumps([user_id, scope, ordinal], ensure_ascii=False, separators=(",", ":"))
    return identifier("con", named)


def _event(period: Mapping[Any, Any], action: str, now: dt.datetime, **provenance: Any) -> dict[str, Any]:
    copied = {name: period[name] for name in ("consent_id", "user_id", "scope")}
    return {**copied, "action": action, "recorded_at": now, "reason": None, **provenance}


def _says_yes(user: Mapping[str, Any], now: dt.datetime) -> bool:
    granted, revoked = _moment(user.get("consent_granted_at")), _moment(user.get("consent_revoked_at"))
    if user.get("consent_status") is not True or (granted is not None and granted > now):
        return False
    return revoked is None or (granted is not None and revoked < granted)


def _moment(value: Any) -> dt.datetime | None:
    """The moment, or None for null in any of the shapes a frame gives it (NaT is not equal to itself)."""
    if value is None or value != value:
        return None
    plain: dt.datetime = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    return plain


def _require_scopes(user_id: str, scopes: Sequence[str], *texts: str) -> None:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise SpendSenseError(
            f"unknown consent scope {', '.join(map(quoted, unknown)) or '(none)'}; scopes are {', '.join(SCOPES)}",
            code="unknown_scope",
        )
    if not is_name(user_id) or not all(storable(text) for text in texts):
        raise SpendSenseError(
            f"the customer's id {quoted(user_id)} or a text beside it cannot be stored", code="invalid_text"
        )


def register_text(engine: Engine, version: str, content: str, now: dt.datetime) -> str:
    """Keep the text of a version; returns its SHA-256. The same text again changes nothing.

    Raises ``consent_text_changed`` where the version has another text, ``invalid_text`` where one cannot be stored.
    """
    if not (is_name(version) and content.strip() and storable(content)):
        raise SpendSenseError("a consent text needs a version's name and words that can be stored", code="invalid_text")
    digest = sha256(content)
    with writing(engine) as session:
        known = session.get(ConsentText, version)
        if known is not None and known.digest != digest:
            raise SpendSenseError(
                f"version {quoted(version)} was registered with other words on {known.registered_at:%Y-%m-%d}; "
                "customers agreed to those: give the new text a new version",
                code="consent_text_changed",
            )
        if known is None:
            said = {"content": content, "digest": digest, "registered_at": now}
            audit.record_one(session, ConsentText, now, version=version, **said)
    return digest


def texts(session: Session) -> list[dict[str, Any]]:
    """Every version that anybody agreed to or that has a text: version, agreements, first, last (moments), content and
    digest (None where no text was registered)."""
    agreed = ConsentEvent.action.in_(("opened", "renewed"))
    version = func.coalesce(ConsentEvent.text_version, "unstated")
    counted = select(
        version, func.count(), func.min(ConsentEvent.recorded_at), func.max(ConsentEvent.recorded_at)
    ).where(agreed)
    uses = {name: rest for name, *rest in session.execute(counted.group_by(version)).tuples()}
    kept = {one.version: one for one in session.scalars(select(ConsentText))}
    return [
        {
            "version": name,
            **dict(zip(("agreements", "first", "last"), uses.get(name, (0, None, None)), strict=True)),
            "content": kept[name].content if name in kept else None,
            "digest": kept[name].digest if name in kept else None,
        }
        for name in sorted({*uses, *kept})
    ]

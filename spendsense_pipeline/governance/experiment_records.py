"""Experiments on record: what was registered, who has which arm, which drafts are withheld.

An experiment is registered with its first customer and never changes after that; an assignment stands for good.
Belongs here: keeping both in the chain, and what they mean for drafts and releases. Does not belong here: what an
experiment may be and how arms are dealt (``spendsense_pipeline.experiments``).
"""

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Engine, and_, exists, func, or_, select, true
from sqlalchemy.orm import Session

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, operators
from spendsense_pipeline.governance.database import columns, fields, require_reason, set_among, writing
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.models import (
    OPEN,
    Assignment,
    Experiment,
    ExperimentEnd,
    FeedbackEvent,
    Ghost,
    Recommendation,
    Release,
)
from spendsense_pipeline.insights.kinds import INSIGHTS

URGENT: Final = tuple(name for name, kind in INSIGHTS.items() if kind.severity == "urgent")
"""Insights that no experiment withholds."""


class Place(NamedTuple):
    """Where a customer was dealt to."""

    user_id: str
    stratum: str
    ordinal: int
    arm: str


@dataclass(frozen=True)
class Plan:
    """What the record needs of an experiment. ``withheld`` names the arms that see nothing, ``templates`` is arm →
    template of those that see one text."""

    name: str
    definition: str
    definition_hash: str
    insight: str | None
    horizon: int
    enrolment_days: int
    withheld: frozenset[str]
    templates: Mapping[str, str]

    def shows(self, arm: str) -> str:
        """What customers of the arm see."""
        return "nothing" if arm in self.withheld else "template" if arm in self.templates else "usual"


def require_unchanged(session: Session, name: str, definition_hash: str) -> Experiment | None:
    """The experiment as registered, None where nobody was assigned yet; ``experiment_changed`` where its file says
    something else now."""
    registered = session.get(Experiment, name)
    if registered is not None and registered.definition_hash != definition_hash:
        raise SpendSenseError(
            f"experiment {name!r} was registered on {registered.registered_at:%Y-%m-%d} and its file has changed since "
            f"(hash {registered.definition_hash[:12]}, now {definition_hash[:12]}); take the change back, or give the "
            "changed file another name: it is another experiment",
            code="experiment_changed",
        )
    return registered


def assign(
    engine: Engine,
    plan: Plan,
    strata: Mapping[str, str],
    deal: Callable[[Mapping[str, str], Mapping[str, int]], Iterable[Place]],
    as_of: dt.date,
    now: dt.datetime,
) -> int:
    """Give an arm to those customers (user_id → stratum) who have none; returns how many got one.

    Registers the experiment with its first customer. ``deal`` gets the new customers' strata and the next free place
    of each stratum. Customers of another running experiment about the same texts stay out of this one. Nobody enters
    one that was ended or whose enrolment is over. Raises ``experiment_changed``.
    """
    with writing(engine) as session:
        known = require_unchanged(session, plan.name, plan.definition_hash)
        ended = session.get(ExperimentEnd, plan.name) is not None
        if ended or (known and now >= known.registered_at + dt.timedelta(days=plan.enrolment_days)):
            return 0
        # Who has an arm here already, or is in a running experiment about the same texts.
        same = or_(Experiment.insight.is_(None), Experiment.insight == plan.insight) if plan.insight else true()
        elsewhere = or_(Experiment.name == plan.name, and_(_runs(now), same))
        query = select(Assignment.user_id).join(Experiment, Experiment.name == Assignment.experiment)
        busy = set(session.scalars(query.where(elsewhere)))
        new = {user: stratum for user, stratum in strata.items() if user not in busy}
        if not new:
            return 0
        if known is None:
            said = fields(plan, "name definition definition_hash insight")
            audit.record_one(session, Experiment, now, **said, salt=audit.random_salt(), registered_at=now)
        places = select(Assignment.stratum, func.max(Assignment.ordinal) + 1).group_by(Assignment.stratum)
        free = dict(session.execute(places.where(Assignment.experiment == plan.name)).tuples().all())
        rows: list[dict[str, Any]] = [
            {
                **place._asdict(),
                "assignment_id": identifier("asg", f"{plan.name}\x1f{place.user_id}"),
                "experiment": plan.name,
                "shows": plan.shows(place.arm),
                "template_id": plan.templates.get(place.arm),
                "as_of": as_of,
                "assigned_at": now,
                "until": now + dt.timedelta(days=plan.horizon),
            }
            for place in deal(new, free)
        ]
        audit.record(session, Assignment, rows, now)
        mark_ghosts(session, now)
    return len(rows)


def _runs(now: dt.datetime) -> ColumnElement[bool]:
    ended = exists().where(ExperimentEnd.name == Assignment.experiment)
    return and_(Assignment.until > now, ~ended)


def _withholds(now: dt.datetime) -> ColumnElement[bool]:
    """The SQL condition that an assignment withholds a recommendation: education that is not urgent."""
    return and_(
        Assignment.user_id == Recommendation.user_id,
        Assignment.shows == "nothing",
        _runs(now),
        Experiment.name == Assignment.experiment,
        or_(Experiment.insight.is_(None), Experiment.insight == Recommendation.insight),
        Recommendation.content_type == "education",
        or_(Recommendation.insight.is_(None), Recommendation.insight.not_in(URGENT)),
    )


def withheld(now: dt.datetime) -> ColumnElement[bool]:
    """The SQL condition that a recommendation may not go out for an experiment's sake, now or ever."""
    return or_(Recommendation.ghost, exists().where(_withholds(now)))


def mark_ghosts(session: Session, now: dt.datetime) -> int:
    """Write down which open drafts are withheld; to be called under the write lock. Returns how many are new."""
    found = session.execute(
        select(Recommendation.recommendation_id, func.min(Assignment.assignment_id).label("assignment_id"))
        .select_from(Assignment)
        .join(Experiment, Experiment.name == Assignment.experiment)
        .join(Recommendation, Recommendation.user_id == Assignment.user_id)
        .where(
            _withholds(now),
            Recommendation.status.in_(OPEN),
            Recommendation.released_at.is_(None),
            ~Recommendation.ghost,
        )
        .group_by(Recommendation.recommendation_id)
        .order_by(Recommendation.recommendation_id)
    ).all()
    rows: list[dict[str, Any]] = [{**row._mapping, "marked_at": now} for row in found]
    audit.record(session, Ghost, rows, now)
    set_among(session, Recommendation.recommendation_id, [row["recommendation_id"] for row in rows], ghost=True)
    return len(rows)


def wordings(session: Session, now: dt.datetime, *, user_id: str | None = None) -> dict[tuple[str, str], str]:
    """(user_id, insight) → template_id of customers whose arm is a text; of one customer, or of all."""
    query = (
        select(Assignment.user_id, Experiment.insight, Assignment.template_id)
        .join(Experiment, Experiment.name == Assignment.experiment)
        .where(
            Assignment.template_id.is_not(None),
            _runs(now),
            Assignment.user_id == user_id if user_id is not None else true(),
        )
    )
    rows = session.execute(query).tuples()
    return {(user, insight): template for user, insight, template in rows if insight and template}


def end(engine: Engine, name: str, operator_id: str, reason: str, now: dt.datetime) -> None:
    """End an experiment before its time. What was assigned stays on record and is still analysed.

    Raises ``unknown_experiment``, ``already_ended``, ``unknown_operator``, ``reason_required``.
    """
    require_reason(reason, "ending an experiment needs its reason")
    with writing(engine) as session:
        if session.get(Experiment, name) is None:
            raise SpendSenseError(
                f"no experiment {name!r} was registered; `spendsense experiments list` shows them",
                code="unknown_experiment",
            )
        if session.get(ExperimentEnd, name) is not None:
            raise SpendSenseError(f"experiment {name!r} was ended before", code="already_ended")
        operators.registered(session, operator_id)
        said = {"operator_id": operator_id, "reason": reason, "ended_at": now}
        audit.record_one(session, ExperimentEnd, now, name=name, **said)


def registered(session: Session) -> list[dict[str, Any]]:
    """Experiments on record, oldest first: name, definition, definition_hash, registered_at, ended_at, reason."""
    rows = session.execute(
        select(
            *columns(Experiment, "name definition definition_hash salt registered_at"),
            *columns(ExperimentEnd, "ended_at reason"),
        )
        .outerjoin(ExperimentEnd, ExperimentEnd.name == Experiment.name)
        .order_by(Experiment.seq)
    )
    return [dict(row._mapping) for row in rows]


def assignments(session: Session, name: str) -> list[dict[str, Any]]:
    """Who has which arm: user_id, arm, stratum, ordinal, as_of, assigned_at; in the order of assignment."""
    query = select(*columns(Assignment, "user_id arm stratum ordinal as_of assigned_at")).where(
        Assignment.experiment == name
    )
    return [dict(row._mapping) for row in session.execute(query.order_by(Assignment.seq))]


def events(session: Session, name: str) -> list[tuple[str, str, dt.datetime]]:
    """(user_id, kind, occurred_at) of what came back about texts that the experiment is about, from its customers."""
    query = (
        select(FeedbackEvent.user_id, FeedbackEvent.kind, FeedbackEvent.occurred_at)
        .join(Release, Release.release_id == FeedbackEvent.release_id)
        .join(Recommendation, Recommendation.recommendation_id == Release.recommendation_id)
        .join(Assignment, Assignment.user_id == FeedbackEvent.user_id)
        .join(Experiment, Experiment.name == Assignment.experiment)
        .where(
            Experiment.name == name,
            Recommendation.content_type == "education",
            or_(Experiment.insight.is_(None), Experiment.insight == Recommendation.insight),
        )
    )
    return list(session.execute(query).tuples())


def pseudonym(salt: str, user_id: str) -> str:
    """The customer's name in an experiment's rows: a keyed hash, the same only within the experiment."""
    return "sub_" + hmac.new(salt.encode(), user_id.encode(), hashlib.sha256).hexdigest()[:24]


def pseudonyms(session: Session, user_id: str) -> set[str]:
    """All names that a customer has in rows of experiments."""
    return {pseudonym(salt, user_id) for salt in session.scalars(select(Experiment.salt))}

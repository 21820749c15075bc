"""How a day's drafts enter the queue: what is new, what takes the place of a waiting draft, what stays out.

Belongs here: comparing a day's drafts with what was registered before. Does not belong here: what operators do
with them afterwards (``review``), nor what is drafted at all (``recommendations``).
"""

import datetime as dt
import functools
import itertools
import json
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, case, func, literal, or_, select
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import DRAFT_LIFE, NOT_REPEATED, REJECTION
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import consent, experiment_records, feedback, policy, topics
from spendsense_pipeline.governance import draft_events as drafts
from spendsense_pipeline.governance.database import (
    LONGEST_NAME,
    AnyRow,
    add_rows,
    chunks,
    columns,
    compare_and_set,
    give_way,
    is_name,
    matching,
    quoted,
    set_among,
    storable,
    writing,
)
from spendsense_pipeline.governance.lifecycle import hash_of, original_text
from spendsense_pipeline.governance.models import (
    OPEN,
    SCOPE_OF,
    ConsentPeriod,
    Decision,
    Recommendation,
    RecommendationText,
    Slate,
    UtcTime,
)

if TYPE_CHECKING:
    import pandas as pd

NOTICEABLE_MOVE = Decimal("0.1")
"""A waiting draft is replaced when a figure it shows moved by more than this fraction."""

TURN = 1_000
"""Customers with drafts registered in one transaction; between two of them, whoever waits to write comes first."""

WHY_REFUSED = ("older_than_newest", "topic_declined", "without_consent")

SEVERITIES = {"notable": 1, "critical": 2}

NAMES = ("recommendation_id", "user_id", "consent_id", "template_id", "product_id")

PIECE = ("user_id", "content_type", "product_id", "insight_id", "template_id")
"""What says which piece a draft is."""

COMPARED = (
    "recommendation_id user_id consent_id content_type product_id insight_id template_id template_hash prompt_version "
    "situation as_of status original_hash released_at first_registered_at"
)
"""What a day's drafts are held against."""

SET_BY_DRAFT = (
    *("window_days", "persona", "template_id", "template_hash", "situation", "generator", "model", "prompt_version"),
    *("generation_ms", "insight", "insight_id"),
)


@dataclass(frozen=True)
class Registration:
    """What became of a day's drafts; every draft counts once in the first five.

    ``replaced`` took the place of a waiting draft, ``suppressed`` say nothing that is not waiting or released already,
    were rejected for this customer within 90 days, or dismissed by the customer with these figures; ``refused`` are
    older than the customer's newest day, have no live consent, or are of a topic that the customer switched off
    (``why_refused``). ``withdrawn`` are earlier drafts that the customer's new slate no longer holds and
    that nothing takes the place of.
    """

    registered: int = 0
    replaced: int = 0
    unchanged: int = 0
    suppressed: int = 0
    refused: int = 0
    withdrawn: int = 0
    why_refused: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Registration") -> "Registration":
        """Of both, which are of different customers."""
        both = {name: getattr(self, name) + getattr(other, name) for name in vars(self) if name != "why_refused"}
        return Registration(**both, why_refused=dict(Counter(self.why_refused) + Counter(other.why_refused)))


def severity(findings: Iterable[Mapping[str, Any]]) -> int:
    """The gravest finding: 0 none, 1 notable, 2 critical. A word we do not know counts as critical."""
    return max((SEVERITIES.get(finding.get("severity", ""), 2) for finding in findings), default=0)


def expire(session: Session, now: dt.datetime) -> int:
    """Write down what the clock has already decided: unreleased drafts past their time are ``expired``."""
    return len(drafts.close(session, Recommendation.expires_at <= now, "expired", now))


def register_drafts(
    engine: Engine,
    drafted: "Sequence[Mapping[str, Any]] | pd.DataFrame",
    as_of: dt.date,
    now: dt.datetime,
    *,
    run_id: str | None = None,
    consent_days: int = 0,
    signals: Callable[[Collection[str]], Mapping[str, Any]] | None = None,
    customers: Iterable[str] | None = None,
) -> Registration:
    """Register the drafts of one day (contract ``draft_recommendations``), ``TURN`` customers with drafts at a time.

    Each customer is registered whole or not at all. A run that ends between two turns has registered the customers
    before; the same day again registers the others and leaves those unchanged.

    ``signals`` gives of the customers who get a new text whatever else it rests on (features, streams), kept as JSON
    beside slots and reasons. ``customers`` are all who were considered that day (default: those in ``drafted``); a
    slate without a draft is a slate: nothing is left to say. A slate is complete: an earlier draft still waiting whose
    piece is not in it is superseded, and its age goes to a new draft of the same kind, if there is one.
    The same day again with corrected data replaces the text of a draft still waiting under the same id; one that was
    decided keeps the text that the decision is bound to.

    Raises ``hash_mismatch`` where a hash is not the hash of its text, ``invalid_text`` where a text cannot be stored;
    then nothing is registered.
    """
    of_customer: dict[str, list[dict[str, Any]]] = {user_id: [] for user_id in customers or ()}
    for draft in map(_checked_draft, _draft_rows(drafted)):
        of_customer.setdefault(draft["user_id"], []).append(draft)
    counts: Counter[str] = Counter()
    why_refused: Counter[str] = Counter()
    for number, turn in enumerate(_turns(of_customer)):
        rows = [draft for user_id in turn for draft in of_customer[user_id]]
        if number:
            give_way(engine)
        with writing(engine) as session:
            if not number:
                expire(session, now)
            past = _Registered.read(session, rows, set(turn), as_of, now, consent_days)
            outcome = _Outcome()
            for user_id in turn:
                if past.newest.get(user_id, as_of) <= as_of:
                    outcome.slates[user_id] = set()
            for draft in rows:
                outcome.place(draft, as_of, past)
            outcome.withdraw(as_of, past)
            _write_drafts(session, outcome, as_of, now, run_id, signals or (lambda _: {}))
            experiment_records.mark_ghosts(session, now)
        counts.update(outcome.counts)
        why_refused.update(outcome.why_refused)
    return Registration(**counts, why_refused=dict(why_refused))


def first_registered(session: Session, as_of: dt.date) -> dt.datetime | None:
    """When a day was registered first; None where it never was, or nothing came of it and newer days took its place."""
    moments = [
        session.scalar(select(func.min(rows.registered_at)).where(rows.as_of == as_of))
        for rows in (Slate, Recommendation)
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _turns(of_customer: Mapping[str, Sequence[Any]]) -> list[list[str]]:
    """All customers in their order, cut so that ``TURN`` of those with a draft are in each; one turn in any case."""
    names = sorted(of_customer)
    drafted = itertools.accumulate(bool(of_customer[name]) for name in names)
    numbered = zip(names, (max(number - 1, 0) // TURN for number in drafted), strict=True)
    by_turn = itertools.groupby(numbered, key=operator.itemgetter(1))
    return [[name for name, _ in some] for _, some in by_turn] or [[]]


def is_replaced_by(old: Mapping[Any, Any], new: Mapping[str, Any]) -> bool:
    """Whether a new draft says something else than the old one: situation, wording, or a figure clearly moved.

    Both hold situation, template_id, template_hash, prompt_version and slots (JSON: slot → {value, …}).
    """
    if any(old[name] != new[name] for name in ("situation", "template_id", "template_hash", "prompt_version")):
        return True
    before, after = json.loads(old["slots"]), json.loads(new["slots"])
    return before.keys() != after.keys() or any(
        _figure_moved(before[slot].get("value"), after[slot].get("value")) for slot in before
    )


def is_figure(value: object) -> bool:
    """Whether a slot shows a number; names, dates and yes or no are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure_moved(before: object, after: object) -> bool:
    if not is_figure(before) or isinstance(after, bool):
        return False
    if not isinstance(after, int | float):
        return True
    old, new = Decimal(str(before)), Decimal(str(after))  # as written: 0.6 to 0.66 is a tenth, not more
    return abs(new - old) > NOTICEABLE_MOVE * abs(old)


def _piece(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    """What makes two drafts the same piece for the same customer."""
    return row["user_id"], row["content_type"], row["product_id"] or row["insight_id"] or row["template_id"]


def _subject(row: Mapping[Any, Any]) -> tuple[str, str, str, str]:
    """The same piece for the same customer under the same consent."""
    return row["consent_id"], *_piece(row)


@dataclass
class _Registered:
    """What the database knew before about the customers who were considered."""

    by_id: dict[str, AnyRow]
    by_subject: dict[tuple[str, str, str, str], list[AnyRow]]
    waiting: dict[str, list[AnyRow]]
    newest: dict[str, dt.date]
    consents: set[tuple[str, str, str]]
    rejected: set[tuple[str, str, str]]
    dismissed: dict[tuple[str, str, str], AnyRow] = field(default_factory=dict)
    declined: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def read(
        cls,
        session: Session,
        drafts: Sequence[Mapping[str, Any]],
        customers: set[str],
        as_of: dt.date,
        now: dt.datetime,
        consent_days: int,
    ) -> "_Registered":
        past = cls({}, defaultdict(list), defaultdict(list), {}, set(), set())
        consent_days = policy.limit(session, consent_days)
        pieces = select(*columns(Recommendation, COMPARED), *columns(RecommendationText, "slots findings")).join(
            RecommendationText, original_text()
        )
        for row in matching(
            session, pieces, Recommendation.recommendation_id, {draft["recommendation_id"] for draft in drafts}
        ):
            past.by_id[row.recommendation_id] = row
        # What was released so long ago that it may be said again keeps nothing out, and history grows.
        still_counts = or_(Recommendation.released_at.is_(None), Recommendation.as_of > as_of - NOT_REPEATED)
        active = pieces.where(Recommendation.status.in_(OPEN), still_counts).order_by(Recommendation.as_of)
        for row in matching(session, active, Recommendation.user_id, customers):
            past.by_subject[_subject(row._mapping)].append(row)
            if row.status == "pending_approval":
                past.waiting[row.user_id].append(row)
        slates = select(Slate.user_id, Slate.as_of)
        past.newest = dict(matching(session, slates, Slate.user_id, customers))
        rejections = (
            select(*(getattr(Recommendation, name) for name in PIECE))
            .join(Decision, Decision.decision_id == Recommendation.decision_id)
            .where(Recommendation.status == "rejected", Decision.decided_at > now - REJECTION)
        )
        past.rejected = {
            _piece(row._mapping) for row in matching(session, rejections, Recommendation.user_id, customers)
        }
        past.dismissed = {_piece(row._mapping): row for row in feedback.dismissed(session, customers)}
        past.declined = topics.declined_by(session, customers)
        live = select(ConsentPeriod.consent_id, ConsentPeriod.user_id, ConsentPeriod.scope).where(
            consent.is_live(now, consent_days)
        )
        consents = {draft["consent_id"] for draft in drafts}
        past.consents = set(map(tuple, matching(session, live, ConsentPeriod.consent_id, consents)))
        return past


@dataclass
class _Outcome:
    """Where each draft goes; nothing is written before all of them have their place."""

    new: list[tuple[Mapping[str, Any], AnyRow | None]] = field(default_factory=list)
    rewritten: list[Mapping[str, Any]] = field(default_factory=list)
    reassessed: list[Mapping[str, Any]] = field(default_factory=list)
    superseded: dict[str, str | None] = field(default_factory=dict)
    slates: dict[str, set[tuple[str, str, str, str]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    why_refused: Counter[str] = field(default_factory=Counter)

    def place(self, draft: Mapping[str, Any], as_of: dt.date, past: _Registered) -> None:
        placed = self._place_of(draft, as_of, past)
        if placed in WHY_REFUSED:
            self.why_refused[placed] += 1
        self.counts["refused" if placed in WHY_REFUSED else placed] += 1

    def _place_of(self, draft: Mapping[str, Any], as_of: dt.date, past: _Registered) -> str:
        user_id, piece = draft["user_id"], _piece(draft)
        dismissed = past.dismissed.get(piece)
        if user_id not in self.slates:
            return "older_than_newest"
        if piece in past.rejected:
            return "suppressed"
        if dismissed is not None and not is_replaced_by(dismissed._mapping, draft):
            return "suppressed"
        if (user_id, topics.topic_of(draft)) in past.declined:
            return "topic_declined"
        self.slates[user_id].add(_subject(draft))
        if (draft["consent_id"], user_id, SCOPE_OF[draft["content_type"]]) not in past.consents:
            return "without_consent"
        same = past.by_id.get(draft["recommendation_id"])
        return self._again(draft, same) if same is not None else self._fresh(draft, as_of, past)

    def _again(self, draft: Mapping[str, Any], same: AnyRow) -> str:
        if same.status == "superseded":  # withdrawn by an earlier run of this day, and wanted again
            self.rewritten.append(draft)
            return "registered"
        if same.original_hash == draft["content_hash"]:
            if same.findings != draft["findings"]:
                self.reassessed.append(draft)
            return "unchanged"
        if same.status != "pending_approval":
            return "suppressed"
        self.rewritten.append(draft)
        return "replaced"

    def _fresh(self, draft: Mapping[str, Any], as_of: dt.date, past: _Registered) -> str:
        earlier = [row for row in past.by_subject[_subject(draft)] if row.as_of < as_of]
        waiting = [row for row in earlier if row.status == "pending_approval"]
        decided = [row for row in earlier if row.status != "pending_approval"]
        if any(row.released_at is None for row in decided):
            return "suppressed"
        if decided and as_of - decided[-1].as_of < NOT_REPEATED and not is_replaced_by(decided[-1]._mapping, draft):
            return "suppressed"
        if not waiting:
            self.new.append((draft, None))
            return "registered"
        if not is_replaced_by(waiting[-1]._mapping, draft):
            return "suppressed"
        self.superseded.update((row.recommendation_id, draft["recommendation_id"]) for row in waiting)
        self.new.append((draft, min(waiting, key=lambda row: row.first_registered_at)))
        return "replaced"

    def withdraw(self, as_of: dt.date, past: _Registered) -> None:
        """Take back what waits and is in no slate any more; new drafts of its kind inherit its age, oldest first."""
        gone: dict[tuple[str, str], list[AnyRow]] = defaultdict(list)
        for user_id, slate in self.slates.items():
            for row in past.waiting[user_id]:
                if row.as_of <= as_of and _subject(row._mapping) not in slate:
                    gone[user_id, row.content_type].append(row)
        for rows in gone.values():
            rows.sort(key=lambda row: (row.first_registered_at, row.recommendation_id), reverse=True)
        for place, (draft, before) in enumerate(self.new):
            rows = gone.get((draft["user_id"], draft["content_type"]), [])
            if before is None and rows:
                oldest = rows.pop()
                self.new[place] = draft, oldest
                self.superseded[oldest.recommendation_id] = draft["recommendation_id"]
                self.counts["registered"] -= 1
                self.counts["replaced"] += 1
        for rows in gone.values():
            self.superseded.update((row.recommendation_id, None) for row in rows)
            self.counts["withdrawn"] += len(rows)


def _write_drafts(
    session: Session,
    outcome: _Outcome,
    as_of: dt.date,
    now: dt.datetime,
    run_id: str | None,
    signals: Callable[[Collection[str]], Mapping[str, Any]],
) -> None:
    written = [*(draft for draft, _ in outcome.new), *outcome.rewritten]
    to_text = _text_rows(now, signals({draft["user_id"] for draft in written}))
    if outcome.new:
        rows = [
            {
                **{name: draft[name] for name in SET_BY_DRAFT},
                **{name: draft[name] for name in ("recommendation_id", "user_id", "content_type", "product_id")},
                "as_of": as_of,
                "consent_id": draft["consent_id"],
                "original_hash": draft["content_hash"],
                "content_hash": draft["content_hash"],
                "run_id": run_id,
                "registered_at": now,
                "first_registered_at": before.first_registered_at if before is not None else now,
                "expires_at": now + DRAFT_LIFE,
                "status": "pending_approval",
                "status_at": now,
            }
            for draft, before in outcome.new
        ]
        add_rows(session, Recommendation, rows)
        texts = [to_text(draft) for draft, _ in outcome.new]
        add_rows(session, RecommendationText, texts)
        proofs = {one["recommendation_id"]: drafts.evidence(one) for one in texts}
        drafts.record(session, "registered", rows, now, texts=proofs, run_id=run_id)
    if outcome.rewritten:
        _rewrite(session, outcome.rewritten, to_text, now, run_id)
    if outcome.reassessed:
        drafts.write_texts(session, [to_text(draft) for draft in outcome.reassessed])
        _record_texts(session, "judged", outcome.reassessed, now, run_id)
    if outcome.superseded:
        replaced = [{"of": old, "superseded_by": new} for old, new in outcome.superseded.items()]
        waits = Recommendation.status == "pending_approval"
        closing = {"status": "superseded", "status_at": now, "decision_id": None}
        compare_and_set(session, Recommendation, replaced, waits, **closing)
        closed = drafts.given(session, outcome.superseded, original=False)
        drafts.record(session, "superseded", closed, now, superseded_by=outcome.superseded, run_id=run_id)
    for some in chunks(outcome.slates):
        days = select(Slate.user_id, Slate.as_of).where(Slate.user_id.in_(some))
        past = dict(session.execute(days).tuples().all())
        newest = {"as_of": as_of, "registered_at": now}
        set_among(session, Slate.user_id, [user_id for user_id, day in past.items() if day != as_of], **newest)
        add_rows(session, Slate, [{"user_id": user_id, **newest} for user_id in some if user_id not in past])


def _text_rows(now: dt.datetime, signals: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    copied = ("recommendation_id", "content_hash", "title", "content", "rationale", "findings", "slots", "reasons")

    @functools.cache
    def kept(user_id: str) -> str | None:
        return json.dumps(signals[user_id], ensure_ascii=False, default=str) if user_id in signals else None

    def text_row(draft: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **{name: draft[name] for name in copied},
            "severity": severity(json.loads(draft["findings"])),
            "signals": kept(draft["user_id"]),
            "written_at": now,
        }

    return text_row


def _rewrite(
    session: Session,
    written: Sequence[Mapping[str, Any]],
    to_text: Callable[[Mapping[str, Any]], dict[str, Any]],
    now: dt.datetime,
    run_id: str | None,
) -> None:
    """Give waiting drafts of the same day their corrected text; an override not yet approved goes with the old one.

    One that had been superseded waits anew and for its full time.
    """
    drafts.write_texts(session, [to_text(draft) for draft in written])
    changed = [
        {
            "of": draft["recommendation_id"],
            **{name: draft[name] for name in SET_BY_DRAFT},
            "original_hash": draft["content_hash"],
            "content_hash": draft["content_hash"],
        }
        for draft in written
    ]
    compare_and_set(
        session,
        Recommendation,
        changed,
        or_(Recommendation.status == "pending_approval", Recommendation.status == "superseded"),
        status="pending_approval",
        status_at=now,
        superseded_by=None,
        run_id=run_id,
        decision_id=None,
        expires_at=case(
            (Recommendation.status == "superseded", literal(now + DRAFT_LIFE, UtcTime)),
            else_=Recommendation.expires_at,
        ),
    )
    _record_texts(session, "rewritten", written, now, run_id)


def _record_texts(
    session: Session, action: str, written: Sequence[Mapping[str, Any]], now: dt.datetime, run_id: str | None
) -> None:
    """Record drafts whose own text was written or judged anew, as they are stored now."""
    named = [(draft["recommendation_id"], draft["content_hash"]) for draft in written]
    proofs = drafts.stored_evidence(session, named)
    drafts.record(session, action, drafts.given(session, [name for name, _ in named]), now, texts=proofs, run_id=run_id)


def _draft_rows(drafted: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> list[dict[str, Any]]:
    if isinstance(drafted, Sequence):
        return [dict(draft) for draft in drafted]
    from spendsense_pipeline.frames import records  # loads pandas, which whoever has a frame has loaded

    return records(drafted)


def _checked_draft(draft: dict[str, Any]) -> dict[str, Any]:
    # A frame has NaN where a database has null.
    for name in ("product_id", "model", "generation_ms", "insight", "insight_id"):
        if draft[name] != draft[name]:
            draft[name] = None
    name = quoted(draft["recommendation_id"])
    if not all(is_name(draft[key]) for key in NAMES if draft[key] is not None):
        raise SpendSenseError(
            f"draft {name} has an id that is blank, unreadable or longer than {LONGEST_NAME} characters",
            code="invalid_text",
        )
    if not storable("".join([value for value in draft.values() if isinstance(value, str)])):
        raise SpendSenseError(
            f"draft {name} holds a character that cannot be stored (NUL or half a surrogate pair)",
            code="invalid_text",
        )
    if hash_of(draft) != draft["content_hash"]:
        raise SpendSenseError(f"draft {name}: content_hash is not the hash of its text", code="hash_mismatch")
    return draft

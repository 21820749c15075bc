"""Operators' decisions: approve, reject, override, undo; each bound to the exact text that the operator saw.

A rejection is for good, and keeps this template away from this customer for 90 days; an override puts other words in
the place of a waiting text, whose own are kept for ever; an undo takes back what was not released yet.

Belongs here: who may decide what, and what a decision changes. Does not belong here: what waits (``queue``), what gets
out (``release``).
"""

import datetime as dt
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, bindparam, func, select
from sqlalchemy.orm import Session

from spendsense_pipeline.durations import DRAFT_LIFE
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import audit, draft_events, policy
from spendsense_pipeline.governance.database import (
    AnyRow,
    columns,
    compare_and_set,
    fields,
    matching,
    storable,
    writing,
)
from spendsense_pipeline.governance.encoding import identifier
from spendsense_pipeline.governance.lifecycle import CLOSED, current_text, hash_of, names_hash, status_of
from spendsense_pipeline.governance.models import (
    SCOPE_OF,
    ConsentPeriod,
    Decision,
    Operator,
    Recommendation,
    RecommendationText,
    Viewing,
)
from spendsense_pipeline.governance.present import evidence_recorded, is_as_recorded, written
from spendsense_pipeline.governance.registration import severity

MOST_AT_ONCE = 10_000
"""Decisions in one call; it holds the write lock while it lasts."""

LONGEST = {"title": 200, "content": 8_000, "reason": 2_000}
"""Characters; title and content as in the contract of the drafts."""


class Refusal(StrEnum):
    """Why a decision was not taken. The list is closed: programs may rely on it."""

    UNKNOWN_RECOMMENDATION = auto()
    NAMED_TWICE = auto()
    UNKNOWN_ACTION = auto()
    UNKNOWN_OPERATOR = auto()
    INACTIVE_OPERATOR = auto()
    OPERATOR_IS_CUSTOMER = auto()
    NOT_PERMITTED = auto()
    OUT_OF_SCOPE = auto()
    NOT_QUALIFIED = auto()
    OWN_RECOMMENDATION = auto()
    ALREADY_DECIDED = auto()
    ALREADY_RELEASED = auto()
    EXPIRED = auto()
    VOIDED = auto()
    SUPERSEDED = auto()
    HASH_REQUIRED = auto()
    CHANGED = auto()
    TEXT_CHANGED = auto()
    CRITICAL_FINDING = auto()
    FOUR_EYES = auto()
    SAMPLE_REQUIRED = auto()
    REASON_REQUIRED = auto()
    INVALID_TEXT = auto()
    NOTHING_CHANGED = auto()
    NOTHING_TO_UNDO = auto()


ADVICE: Final[dict[str, dict[str, str]]] = tomllib.loads(
    Path(__file__).with_name("refusals.toml").read_text(encoding="utf-8")
)


def advice(
    refused: str | None,
    recommendation_id: str,
    findings: Sequence[Mapping[str, Any]] = (),
    *,
    at_the_desk: bool = False,
) -> str:
    """What to do about a refusal of this recommendation, by commands or at the desk; empty where there is none to give.

    ``findings`` are those of the text that was refused: they are named, and where in it they stand.

    >>> advice("changed", "rec_1")
    'its text is another one now; look again with `spendsense show rec_1`'
    """
    lines = []
    for one in findings:  # tone, critical: urges: 'act now' (content: "Act now.")
        line = f"{one['check']}, {one['severity']}: {one['message']}"
        lines.append(f'{line} ({one["where"]}: "{one["sentence"]}")' if one.get("where") else line)
    if lines:
        return "; ".join(lines)
    if refused not in set(Refusal):
        return ""
    advised = ADVICE[refused]
    if at_the_desk and "at_the_desk" in advised:
        return advised["at_the_desk"]
    return advised["advice"].format(days=DRAFT_LIFE.days).replace("REC", recommendation_id)


@dataclass(frozen=True)
class Request:
    """One decision asked for. ``content_hash`` is the text that was seen (its beginning will do).

    ``reason`` doubles as an approval's note.
    """

    action: str
    recommendation_id: str
    operator_id: str
    content_hash: str | None = None
    reason: str | None = None
    title: str | None = None
    content: str | None = None


Guardrails = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""Judges a text before it may stand: content_type, title, content, rationale, product_id, persona, template_id, slots
and reasons (JSON) in, findings {check, severity, message} out."""


def requests(action: str, references: Iterable[str], operator_id: str, **said: Any) -> list[Request]:
    """This decision on each ``REC[@HASH]``; ``said`` are other fields of ``Request``.

    ``HASH`` is the whole hash or its first twelve characters or more. An approval may leave it out where there was only
    ever one text, since nothing else can have been seen, and where the text that ``show`` last gave this operator, by
    name, still stands.
    """
    named = (reference.partition("@") for reference in references)
    return [Request(action, name, operator_id, seen or None, **said) for name, _, seen in named]


def decide(
    engine: Engine,
    requests: Sequence[Request],
    now: dt.datetime,
    *,
    guardrails: Guardrails | None = None,
    four_eyes: bool = False,
    run_id: str | None = None,
    known_by: str = "trusted_local",
) -> list[dict[str, Any]]:
    """Take every decision that may be taken, each whole: [{recommendation_id, ok, status, refused}] in order.

    A row whose text the guardrails refused has ``findings`` too: what they found in the words that were sent.
    ``known_by`` says how the operators were known: ``login``, ``token`` or ``trusted_local``.
    ``guardrails`` judges overrides and is needed for them. With ``four_eyes`` an override keeps waiting until another
    operator approves it.
    Raises ``too_many`` above ``MOST_AT_ONCE``; what concerns one item is refused in its row, not raised.
    """
    if len(requests) > MOST_AT_ONCE:
        raise SpendSenseError(
            f"{len(requests):,} decisions at once; at most {MOST_AT_ONCE:,}, so that others get their turn",
            code="too_many",
        )
    if guardrails is None and any(request.action == "override" for request in requests):
        raise ValueError("an override needs guardrails to judge its text")
    with writing(engine) as session:
        made = "individual" if len(requests) == 1 else "bulk"
        return decide_within(session, requests, Rules(now, guardrails, four_eyes, made, run_id, known_by=known_by))


@dataclass(frozen=True)
class Rules:
    """What holds for a whole round of decisions; the arguments of ``decide``."""

    now: dt.datetime
    guardrails: Guardrails | None
    four_eyes: bool
    made: str
    run_id: str | None
    sample_opened: bool = True
    """False where a template's drafts are to be approved together and the operator looked at none of them."""
    known_by: str = "trusted_local"
    """How the operators were known."""


def decide_within(session: Session, requests: Sequence[Request], rules: Rules) -> list[dict[str, Any]]:
    """``decide`` for whoever is inside ``writing`` already."""
    if not rules.four_eyes and policy.in_force(session).four_eyes:
        rules = replace(rules, four_eyes=True)
    desk = _Desk.read(session, requests)
    results = [desk.take(request, rules) for request in requests]
    _write_decisions(session, desk, rules.now)
    return results


@dataclass
class _Desk:
    """What a round of decisions needs to know, and what it has decided so far."""

    items: dict[str, dict[str, Any]]
    operators: dict[str, AnyRow]
    customers: set[str]
    viewings: dict[tuple[str, str], str]
    ordinals: dict[str, int]
    versions: dict[str, int]
    named: set[str] = field(default_factory=set)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)
    """What the guardrails found in the text of the request at hand, where that is why it is refused."""

    @classmethod
    def read(cls, session: Session, requests: Sequence[Request]) -> "_Desk":
        desk = cls({}, {}, set(), {}, {}, {})
        whole = select(
            Recommendation.__table__,
            *columns(RecommendationText, "title content rationale slots reasons signals severity findings"),
            written().label("written"),
            evidence_recorded().label("evidence"),
        )
        whole = whole.join(RecommendationText, current_text())
        named = {one.recommendation_id for one in requests if storable(one.recommendation_id)}
        for row in matching(session, whole, Recommendation.recommendation_id, named):
            desk.items[row.recommendation_id] = dict(row._mapping) | {"author": None}
        overrides = (
            select(Decision.recommendation_id, Decision.content_hash, Decision.operator_id)
            .where(Decision.action == "override")
            .order_by(Decision.recommendation_id, Decision.ordinal)
        )
        # Whoever put the words last that stand now, whatever was decided about them since.
        for override in matching(session, overrides, Decision.recommendation_id, named):
            item = desk.items[override.recommendation_id]
            if item["content_hash"] == override.content_hash:
                item["author"] = override.operator_id
        text_of = RecommendationText.recommendation_id
        desk.versions = dict(matching(session, select(text_of, func.count()).group_by(text_of), text_of, named))
        viewings = select(Viewing.recommendation_id, Viewing.operator_id, Viewing.content_hash)
        for name, operator_id, hashed in matching(session, viewings, Viewing.recommendation_id, named):
            desk.viewings[name, operator_id] = hashed
        last = select(Decision.recommendation_id, func.max(Decision.ordinal)).group_by(Decision.recommendation_id)
        desk.ordinals = dict(matching(session, last, Decision.recommendation_id, named))
        deciding = {one.operator_id for one in requests if storable(one.operator_id)}
        standing = select(*columns(Operator, "operator_id deactivated_at role scopes qualified_until"))
        desk.operators = {row.operator_id: row for row in matching(session, standing, Operator.operator_id, deciding)}
        customers = select(ConsentPeriod.user_id).distinct()
        strangers = deciding - set(desk.operators)
        desk.customers = {row.user_id for row in matching(session, customers, ConsentPeriod.user_id, strangers)}
        return desk

    def take(self, request: Request, rules: Rules) -> dict[str, Any]:
        item = self.items.get(request.recommendation_id)
        self.found = []
        refused = self._refusal(request, item, rules)
        if refused is None and item is not None:
            refused = self._decide(request, item, rules)
        row = {
            "recommendation_id": request.recommendation_id,
            "ok": refused is None,
            "status": status_of(item, rules.now) if item else None,
            "refused": str(refused) if refused else None,
        }
        return row | {"findings": self.found} if refused is Refusal.CRITICAL_FINDING else row

    def _refusal(self, request: Request, item: dict[str, Any] | None, rules: Rules) -> Refusal | None:
        """What stands in the way before the text is looked at; None to go on."""
        if request.operator_id not in self.operators:
            customer = request.operator_id in self.customers
            return Refusal.OPERATOR_IS_CUSTOMER if customer else Refusal.UNKNOWN_OPERATOR
        operator = self.operators[request.operator_id]
        if operator.deactivated_at is not None:
            return Refusal.INACTIVE_OPERATOR
        if operator.role != "operator":
            return Refusal.NOT_PERMITTED
        if operator.qualified_until is not None and operator.qualified_until < rules.now.date():
            return Refusal.NOT_QUALIFIED
        if item is None:
            return Refusal.UNKNOWN_RECOMMENDATION
        if request.recommendation_id in self.named:
            return Refusal.NAMED_TWICE
        self.named.add(request.recommendation_id)
        if request.operator_id == item["user_id"]:
            return Refusal.OWN_RECOMMENDATION
        if SCOPE_OF[item["content_type"]] not in operator.scopes.split():
            return Refusal.OUT_OF_SCOPE
        if request.action not in ("approve", "reject", "override", "undo"):
            return Refusal.UNKNOWN_ACTION
        if request.reason is not None and not _readable("reason", request.reason):
            return Refusal.INVALID_TEXT
        if request.action in ("reject", "override") and not (request.reason or "").strip():
            return Refusal.REASON_REQUIRED
        if not rules.sample_opened:
            return Refusal.SAMPLE_REQUIRED
        return _closed(request, item, rules.now) or self._other_text(request, item)

    def _other_text(self, request: Request, item: dict[str, Any]) -> Refusal | None:
        as_recorded = is_as_recorded(item["written"], item["evidence"]) and hash_of(item) == item["content_hash"]
        if request.action in ("approve", "override") and not as_recorded:
            return Refusal.TEXT_CHANGED
        seen = request.content_hash
        if seen is None and request.action == "approve":
            name = request.recommendation_id
            if self.versions[name] == 1:  # nothing else can have been seen
                return None
            # Not by `show` without a name: that was anybody.
            seen = self.viewings.get((name, request.operator_id))
            if seen is None:
                return Refusal.HASH_REQUIRED
        return None if seen is None or names_hash(seen, item["content_hash"]) else Refusal.CHANGED

    def _decide(self, request: Request, item: dict[str, Any], rules: Rules) -> Refusal | None:
        before = {"of": item["recommendation_id"], "was": item["status"], "hashed": item["content_hash"]}
        refused: Refusal | None = None
        status = "pending_approval"
        if request.action == "approve":
            if item["severity"] >= 2:
                self.found = _located(json.loads(item["findings"]), item)
                return Refusal.CRITICAL_FINDING
            if rules.four_eyes and item["author"] == request.operator_id:
                return Refusal.FOUR_EYES
            status = "approved"
        elif request.action == "reject":
            status = "rejected"
        elif request.action == "override":
            refused = self._rewrite(request, item, rules)
            status = "pending_approval" if rules.four_eyes else "overridden"
        if refused is not None:
            return refused
        item["decision_id"] = self._record(request, item, rules)
        if request.action == "undo":
            if item["status"] != "approved":  # an approval leaves the words alone, only an override changed them
                item["content_hash"] = item["original_hash"]
            item["decision_id"] = None
        item["status"] = status
        self.changes.append(
            before | {name: item[name] for name in ("status", "content_hash", "decision_id")} | {"status_at": rules.now}
        )
        return None

    def _rewrite(self, request: Request, item: dict[str, Any], rules: Rules) -> Refusal | None:
        """Judge the override's text and make it the text that stands."""
        words = {
            "title": item["title"] if request.title is None else request.title,
            "content": item["content"] if request.content is None else request.content,
        }
        if not all(text.strip() and _readable(name, text) for name, text in words.items()):
            return Refusal.INVALID_TEXT
        hashed = hash_of(item | words)
        if hashed == item["content_hash"]:
            return Refusal.NOTHING_CHANGED
        passed_on = ("content_type", "rationale", "product_id", "persona", "template_id", "slots", "reasons")
        assert rules.guardrails is not None  # noqa: S101 - `decide` asks for them before it opens the transaction
        findings = list(rules.guardrails({**words, **{name: item[name] for name in passed_on}}))
        if severity(findings) >= 2:
            self.found = _located(findings, words | {"rationale": item["rationale"]})
            return Refusal.CRITICAL_FINDING
        item |= words | {"content_hash": hashed, "severity": severity(findings), "author": request.operator_id}
        kept = ("recommendation_id", "content_hash", "title", "content", "rationale", "severity", "slots", "reasons")
        self.texts.append(
            {name: item[name] for name in (*kept, "signals", "author")}
            | {"findings": json.dumps(findings, ensure_ascii=False), "written_at": rules.now}
        )
        return None

    def _record(self, request: Request, item: dict[str, Any], rules: Rules) -> str:
        name = item["recommendation_id"]
        ordinal = self.ordinals.get(name, 0) + 1
        decision_id = identifier("dec", f"{name} {ordinal}")
        self.decisions.append(
            {
                **fields(request, "recommendation_id action operator_id reason"),
                **fields(rules, "made run_id known_by"),
                "decision_id": decision_id,
                "ordinal": ordinal,
                "content_hash": item["content_hash"],
                "decided_at": rules.now,
            }
        )
        return decision_id


def _closed(request: Request, item: Mapping[str, Any], now: dt.datetime) -> Refusal | None:
    """Whether the item is past this decision, and what happened to it."""
    status = status_of(item, now)
    if status in CLOSED:
        return Refusal(status)
    if request.action != "undo":
        return None if status == "pending_approval" else Refusal.ALREADY_DECIDED
    if item["released_at"] is not None:
        return Refusal.ALREADY_RELEASED
    if status == "rejected":
        return Refusal.ALREADY_DECIDED
    overridden = item["content_hash"] != item["original_hash"]
    return None if status != "pending_approval" or overridden else Refusal.NOTHING_TO_UNDO


def _located(findings: Sequence[Mapping[str, Any]], text: Mapping[str, str]) -> list[dict[str, Any]]:
    """The findings with the place of the words that they quote."""
    from spendsense_pipeline.recommendations.guardrails.text import located  # loads frames; few are refused for this

    return [located(one, **{part: text[part] for part in ("title", "content", "rationale")}) for one in findings]


def _readable(name: str, text: str) -> bool:
    return storable(text) and len(text) <= LONGEST[name]


def _write_decisions(session: Session, desk: _Desk, now: dt.datetime) -> None:
    """Texts first, then decisions, then the change itself: compare-and-set on the status and hash that were read."""
    if not desk.changes:
        return
    draft_events.write_texts(session, desk.texts)
    if desk.texts:
        named = [(row["recommendation_id"], row["content_hash"]) for row in desk.texts]
        items = [desk.items[name] for name, _ in named]
        draft_events.record(session, "judged", items, now, texts=draft_events.stored_evidence(session, named))
    audit.record(session, Decision, desk.decisions, now)
    compare_and_set(
        session,
        Recommendation,
        desk.changes,
        Recommendation.status == bindparam("was"),
        Recommendation.content_hash == bindparam("hashed"),
        Recommendation.released_at.is_(None),
    )

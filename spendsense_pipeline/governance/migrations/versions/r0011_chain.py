"""The chain covers drafts, operators, rules, template decisions, tombstones and evaluations; legal holds.

What a database holds already gets its links at the end of the chain, as it stands: whatever was changed before is not
found out by them.
"""

import datetime as dt
import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from spendsense_pipeline.governance import audit, present
from spendsense_pipeline.governance.encoding import as_json, canonical, sha256
from spendsense_pipeline.governance.models import UtcTime

revision = "0011"
down_revision = "0010"

LINKS = (
    "kind IN ('consent', 'topic', 'decision', 'standing', 'release', 'recall', 'order', 'erasure', 'experiment', "
    "'experiment_end', 'assignment', 'ghost', 'consent_text', 'draft', 'operator', 'template_decision', 'policy', "
    "'tombstone', 'evaluation', 'hold', 'hold_lift')"
)
CHAINED_NOW = {
    "template_decisions": ("TEMPLATE_DECISION", "decided_at", ("template_id", "template_hash", "ordinal")),
    "tombstones": ("TOMBSTONE", "recorded_at", ("digest",)),
    "evaluation_runs": ("EVALUATION", "evaluated_at", ("evaluation_id",)),
}
"""Table → kind of its links, when its rows came, primary key."""
MOMENT = UtcTime()


def upgrade() -> None:
    """Add tables and columns, then link what is there."""
    _tables()
    with op.batch_alter_table("audit_chain") as chain:
        chain.drop_constraint(op.f("ck_audit_chain_kind"), type_="check")
        chain.create_check_constraint(op.f("ck_audit_chain_kind"), LINKS)
    with op.batch_alter_table("evaluation_runs") as evaluations:
        evaluations.add_column(sa.Column("name", sa.Text(), nullable=True))
        evaluations.add_column(sa.Column("details", sa.Text(), nullable=True))
        evaluations.create_unique_constraint("uq_evaluation_runs_name", ["name"])
    for table in CHAINED_NOW:
        op.add_column(table, sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=True))
    session = Session(bind=op.get_bind())
    _name_evaluations(session)
    for table, (kind, moment, key) in CHAINED_NOW.items():
        _link_rows(session, table, getattr(audit, kind), moment, key)
    _operators(session)
    _drafts(session)
    session.flush()
    for table in CHAINED_NOW:
        with op.batch_alter_table(table) as changed:
            changed.alter_column("seq", existing_type=sa.BigInteger(), nullable=False)
            changed.create_unique_constraint(f"uq_{table}_seq", ["seq"])


def _tables() -> None:
    def seq(*, key: bool = False) -> sa.Column[int]:
        return sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, primary_key=key)

    def words(*names: str, null: bool = False) -> list[sa.Column[str]]:
        return [sa.Column(name, sa.Text(), nullable=null) for name in names]

    def moment(name: str) -> sa.Column[dt.datetime]:
        return sa.Column(name, sa.DateTime(timezone=True), nullable=False)

    op.create_table(
        "operator_events",
        seq(),
        *words("operator_id", "action", "role", "scopes"),
        sa.Column("qualified_until", sa.Date(), nullable=True),
        *words("credentials", "actor", "source"),
        moment("recorded_at"),
        sa.CheckConstraint(
            "action IN ('added', 'changed', 'reactivated', 'deactivated')", name="ck_operator_events_action"
        ),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_operator_events_operator_id"),
        sa.PrimaryKeyConstraint("seq", name="pk_operator_events"),
    )
    op.create_index("ix_operator_events_operator_id", "operator_events", ["operator_id"])
    op.create_table(
        "policies",
        seq(),
        sa.Column("four_eyes", sa.Boolean(), nullable=False),
        sa.Column("consent_days", sa.Integer(), nullable=False),
        *words("actor", "reason"),
        moment("recorded_at"),
        sa.CheckConstraint("consent_days >= 0", name="ck_policies_consent_days"),
        sa.PrimaryKeyConstraint("seq", name="pk_policies"),
    )
    op.create_table(
        "draft_events",
        seq(),
        *words("recommendation_id", "action", "user_id", "consent_id"),
        sa.Column("as_of", sa.Date(), nullable=False),
        *words("template_id", "template_hash", "content_hash"),
        *words("evidence", null=True),
        moment("expires_at"),
        *words("superseded_by", "run_id", null=True),
        moment("recorded_at"),
        sa.CheckConstraint(
            "action IN ('registered', 'rewritten', 'judged', 'superseded', 'expired', 'voided')",
            name="ck_draft_events_action",
        ),
        sa.ForeignKeyConstraint(
            ["recommendation_id"],
            ["recommendations.recommendation_id"],
            name="fk_draft_events_recommendation_id",
        ),
        sa.PrimaryKeyConstraint("seq", name="pk_draft_events"),
    )
    op.create_index("ix_draft_events_recommendation_id_seq", "draft_events", ["recommendation_id", "seq"])
    op.create_table(
        "holds",
        *words("hold_id"),
        seq(),
        *words("user_id", "operator_id", "reason"),
        moment("placed_at"),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_holds_operator_id"),
        sa.PrimaryKeyConstraint("hold_id", name="pk_holds"),
        sa.UniqueConstraint("seq", name="uq_holds_seq"),
    )
    op.create_index("ix_holds_user_id", "holds", ["user_id"])
    op.create_table(
        "hold_lifts",
        *words("hold_id"),
        seq(),
        *words("user_id", "operator_id", "reason"),
        moment("lifted_at"),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.hold_id"], name="fk_hold_lifts_hold_id"),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_hold_lifts_operator_id"),
        sa.PrimaryKeyConstraint("hold_id", name="pk_hold_lifts"),
        sa.UniqueConstraint("seq", name="uq_hold_lifts_seq"),
    )
    op.create_index("ix_hold_lifts_user_id", "hold_lifts", ["user_id"])
    op.create_table(
        "erasure_requests",
        *words("user_id", "operator_id", "reason"),
        moment("requested_at"),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name="fk_erasure_requests_operator_id"),
        sa.PrimaryKeyConstraint("user_id", name="pk_erasure_requests"),
    )


def _name_evaluations(session: Session) -> None:
    """What a caller named an evaluation stood among its metrics; it has columns now."""
    found = session.execute(sa.text("SELECT evaluation_id, metrics FROM evaluation_runs ORDER BY evaluated_at"))
    taken: set[str] = set()
    for evaluation_id, written in found.all():
        metrics = json.loads(written)
        named = metrics.pop("named", None)
        if named is None:
            continue
        name = named["name"] if named["name"] not in taken else None
        if name is not None:
            taken.add(name)
        session.execute(
            sa.text(
                "UPDATE evaluation_runs SET metrics = :metrics, name = :name, details = :details "
                "WHERE evaluation_id = :id"
            ),
            {
                "metrics": json.dumps(metrics, ensure_ascii=False, sort_keys=True),
                "name": name,
                "details": json.dumps(named["details"], ensure_ascii=False, sort_keys=True),
                "id": evaluation_id,
            },
        )


def _table(session: Session, name: str) -> sa.Table:
    """As it is now, moments as the models read them."""
    table = sa.Table(name, sa.MetaData(), autoload_with=session.connection())
    for column in table.columns:
        if isinstance(column.type, sa.DateTime):
            column.type = MOMENT
    return table


def _link_rows(session: Session, name: str, kind: audit.Kind, moment: str, key: tuple[str, ...]) -> None:
    table = _table(session, name)
    rows = [
        dict(row._mapping)
        for row in session.execute(sa.select(table).order_by(table.c[moment], *(table.c[one] for one in key)))
    ]
    if not rows:
        return
    _add(session, audit.links_of(session, kind, rows, max(row[moment] for row in rows)))
    same = sa.and_(*(table.c[one] == sa.bindparam(f"of_{one}") for one in key))
    session.connection().execute(
        sa.update(table).where(same).values(seq=sa.bindparam("place")),
        [{"place": row["seq"], **{f"of_{one}": row[one] for one in key}} for row in rows],
    )


def _add(session: Session, links: list[dict[str, Any]]) -> None:
    session.execute(sa.insert(_table(session, "audit_chain")), links)


def _record(session: Session, kind: audit.Kind, name: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        links = audit.links_of(session, kind, rows, max(row["recorded_at"] for row in rows))
        session.execute(sa.insert(_table(session, name)), rows)
        _add(session, links)


def _operators(session: Session) -> None:
    operators = _table(session, "operators")
    rows = []
    for one in session.execute(sa.select(operators).order_by(operators.c.registered_at, operators.c.operator_id)):
        event = {
            **{name: getattr(one, name) for name in ("operator_id", "role", "scopes", "qualified_until", "source")},
            "action": "added",
            "credentials": sha256(canonical([one.password_hash, one.subject])),
            "actor": "local",
            "recorded_at": one.registered_at,
        }
        rows.append(event)
        if one.deactivated_at is not None:
            rows.append(event | {"action": "deactivated", "recorded_at": one.deactivated_at})
    _record(session, audit.OPERATOR, "operator_events", rows)


def _drafts(session: Session) -> None:
    drafts, texts = _table(session, "recommendations"), _table(session, "recommendation_texts")
    copied = ("recommendation_id", "user_id", "consent_id", "as_of", "template_id", "template_hash", "expires_at")
    written = as_json(*(texts.c[name] for name in present.EVIDENCE))
    evidence = {
        (name, hashed): sha256(text)
        for name, hashed, text in session.execute(sa.select(texts.c.recommendation_id, texts.c.content_hash, written))
    }
    others: dict[str, list[str]] = {}
    for name, hashed in evidence:
        others.setdefault(name, []).append(hashed)
    rows = []
    for one in session.execute(sa.select(drafts).order_by(drafts.c.registered_at, drafts.c.recommendation_id)):
        name = one.recommendation_id
        event = {
            **{column: getattr(one, column) for column in copied},
            "action": "registered",
            "content_hash": one.original_hash,
            "evidence": evidence.get((name, one.original_hash)),
            "superseded_by": None,
            "run_id": one.run_id,
            "recorded_at": one.registered_at,
        }
        rows.append(event)
        for hashed in sorted(others.get(name, [])):
            if hashed != one.original_hash:
                rows.append(event | {"action": "judged", "content_hash": hashed, "evidence": evidence[name, hashed]})
        if one.status in present.CLOSED:
            closing = {"action": one.status, "content_hash": one.content_hash, "evidence": None}
            closing |= {"superseded_by": one.superseded_by, "recorded_at": one.status_at}
            rows.append(event | closing)
    _record(session, audit.DRAFT, "draft_events", rows)

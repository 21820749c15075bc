"""What is known of customers, read for a person who asks: lists, profiles, the operator's view of signals.

Reads the warehouse and, through arguments, what governance knows. What does not belong here: any definition of a
signal or a persona; those are computed by the same functions that fill the tables.
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline import warehouse
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.features.columns import READ
from spendsense_pipeline.features.details import Details, details_of, penalties
from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
from spendsense_pipeline.frames import to_frame
from spendsense_pipeline.insights.calendar import expected_dates
from spendsense_pipeline.insights.of_range import insights_of
from spendsense_pipeline.insights.seen import Seen
from spendsense_pipeline.known_payees import payees_on
from spendsense_pipeline.personas.assignment import assign_personas

WINDOWS = (30, 180)
Consents = Mapping[str, Mapping[str, bool]]
"""user_id -> {"education": live, "partner_offers": live}."""

NOTHING = {"education": False, "partner_offers": False}


class UnknownUser(SpendSenseError):
    """Nobody of this id was ever accepted."""

    code = "unknown_user"


def newest_transaction_date(root: str) -> dt.date:
    """The date of the newest accepted transaction: the default day of a run.

    Raises ``NotMaterialized`` before anything was ingested, and an error where no transaction ever was.
    """
    newest = pc.max(warehouse.load(root, "transactions", columns=["date"])["date"]).as_py()
    if newest is None:
        raise SpendSenseError("no transaction was accepted yet; name a date with --as-of", code="no_transactions")
    return dt.date.fromisoformat(str(newest)[:10])


def users(
    root: str,
    consents: Consents,
    *,
    user_type: str | None = None,
    consent: bool | None = None,
    persona: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> dict[str, Any]:
    """People with their consent and newest personas, in order of id: the shape of ``spendsense users``.

    ``consent`` True keeps those with live consent in any scope, ``persona`` those who have it in either window.
    """
    people = to_frame(warehouse.load(root, "users", columns=["user_id", "user_type"]))
    people["user_type"] = people["user_type"].fillna("customer")
    for window in WINDOWS:
        people[str(window)] = people["user_id"].map(_newest_personas(root, window)).astype(object)
    live = people["user_id"].map(lambda user_id: any(consents.get(user_id, NOTHING).values()))
    kept = pd.Series(True, index=people.index)
    if user_type is not None:
        kept &= people["user_type"] == user_type
    if consent is not None:
        kept &= live == consent
    if persona is not None:
        kept &= (people["30"] == persona) | (people["180"] == persona)
    chosen = people[kept].sort_values("user_id")
    return {
        "users": [
            {
                "user_id": row["user_id"],
                "user_type": row["user_type"],
                "consent": dict(consents.get(row["user_id"], NOTHING)),
                "personas": {str(w): row[str(w)] if pd.notna(row[str(w)]) else None for w in WINDOWS},
            }
            for row in chosen.iloc[offset : offset + limit].to_dict("records")
        ],
        "total": len(chosen),
        "limit": limit,
        "offset": offset,
    }


def _newest_personas(root: str, window: int) -> dict[str, str]:
    table = warehouse.newest(root, f"persona_assignments_{window}d", ["user_id", "persona"])
    return {} if table is None else {row["user_id"]: row["persona"] for row in table.to_pylist()}


def require_customer(root: str, user_id: str) -> None:
    """Raise ``UnknownUser`` for an id that never arrived, and an error for an operator's."""
    _require_customer(warehouse.rows_of_customer(root, "users", user_id, READ["users"]), user_id)


def _require_customer(people: pa.Table, user_id: str) -> None:
    if not people.num_rows:
        raise UnknownUser(f"there is no user {user_id!r}; `spendsense users` lists them")
    if people["user_type"][0].as_py() == "operator":
        raise SpendSenseError(f"{user_id!r} is an operator, not a customer", code="not_a_customer")


TRUST_SIGNALS = (
    *("history_days", "data_age_days", "balance_age_days", "explained_share", "shared_accounts"),
    *("unlinked_cards", "unlinked_card_payments"),
)
SUBSCRIPTION_SIGNALS = (
    *("recurring_merchants", "monthly_recurring_spend", "total_spend", "subscription_spend_share"),
    *("monthly_bills", "monthly_regular"),
)
SAVINGS_SIGNALS = (
    *("savings_balance", "net_savings_inflow", "savings_growth_rate"),
    *("avg_monthly_expenses", "emergency_fund_months"),
)
CREDIT_SIGNALS = (
    *("card_count", "cards_with_unknown_limit", "avg_utilization", "max_utilization"),
    *("utilization_30_flag", "utilization_50_flag", "utilization_80_flag", "minimum_payment_only_flag"),
    *("interest_charges", "interest_charges_present", "any_overdue", "fees_180d", "service_fees_180d"),
)
INCOME_SIGNALS = (
    *("payroll_detected", "pay_frequency", "median_pay_gap_days", "income_variability"),
    *("avg_monthly_income", "regular_income", "avg_monthly_expenses", "cash_flow_buffer_months"),
)
CARD_COLUMNS = (
    *("last4", "balance", "credit_limit", "utilization"),
    *("minimum_payment_amount", "last_payment_amount", "last_statement_balance", "is_overdue"),
)
ROW_COLUMNS = ("date", "amount", "merchant")
PAYER_COLUMNS = ("paydays", "frequency", "usual", "days_open", "in_window", "variability", "monthly")


class Customer:
    """One customer's rows on one day, the newest unless ``as_of`` says another, and what the pipeline's own functions
    make of them, computed on the spot.

    ``windows`` are 1 to 365 days. Raises ``UnknownUser``, or an error for an operator, who has no profile.
    """

    def __init__(
        self,
        root: str,
        user_id: str,
        as_of: dt.date | None = None,
        windows: tuple[int, ...] = WINDOWS,
        house: Path | None = None,
    ) -> None:
        for window in windows:
            if not 1 <= window <= 365:
                raise SpendSenseError(f"a window is 1 to 365 days, not {window}", code="invalid_window")
        own = {table: warehouse.rows_of_customer(root, table, user_id, columns) for table, columns in READ.items()}
        _require_customer(own["users"], user_id)
        self.user_id = user_id
        run = warehouse.partitions(root, "features_30d")[-1:]  # the newest day that was run, or else of a transaction
        self.as_of = as_of or (dt.date.fromisoformat(run[0]) if run else newest_transaction_date(root))
        self.own, self.payees = Customers(**own), payees_on(root, house, [self.as_of])
        self.windows = windows

    @cached_property
    def details(self) -> Details:
        """What stands behind the figures."""
        return details_of(self.own, self.as_of, self.windows, self.payees)

    @cached_property
    def seen(self) -> Seen:
        """What detectors of insights look at."""
        evidence = evidence_of(self.own, [(self.as_of - EPOCH).days], list(WINDOWS), self.payees)
        return Seen(evidence, 0, tables_of(evidence))

    @cached_property
    def findings(self) -> dict[str, pa.Table]:
        """Insights and the forecast of the balance."""
        return insights_of(self.seen.evidence, self.seen.signals)

    def features(self) -> pd.DataFrame:
        """The feature rows of the windows; empty where the customer did not exist on the day."""
        return to_frame(self.details.signals.features.sort_by("window_days"))

    def streams(self) -> list[dict[str, Any]]:
        """The streams on the day, by payee."""
        table = self.details.signals.streams.drop_columns(["user_id", "as_of"])
        rows: list[dict[str, Any]] = table.sort_by([("merchant", "ascending"), ("stream_id", "ascending")]).to_pylist()
        return rows

    def profile(self, consents: Consents) -> dict[str, Any]:
        """Consent, features and personas: the shape of ``spendsense profile``."""
        features = self.features()
        personas = assign_personas(features)
        return {
            "user_id": self.user_id,
            "as_of": self.as_of,
            "consent": dict(consents.get(self.user_id, NOTHING)),
            "features": {str(row["window_days"]): _plain(row) for row in features.to_dict("records")},
            "personas": {
                str(row["window_days"]): {
                    "persona": row["persona"],
                    "confidence": row["confidence"],
                    "is_fallback": bool(row["is_fallback"]),
                    "matched": json.loads(row["matched"]),
                    "reasons": json.loads(row["reasons"]),
                }
                for row in personas.to_dict("records")
            },
        }

    def insights(self) -> dict[str, Any]:
        """What the customer's money says on the day: the shape of ``spendsense insights``."""
        own = ("insight", "severity", "topic", "detail", "happened_on", "expires_on", "confidence", "insight_id")
        return {
            "user_id": self.user_id,
            "as_of": self.as_of,
            "insights": [
                _some(row, own) | {name: json.loads(row[name]) for name in ("figures", "evidence")}
                for row in self.findings["insights"].to_pylist()
            ],
        }

    def calendar(self) -> dict[str, Any]:
        """Bills, pay and the checking balance of the coming 30 days: the shape of ``spendsense calendar``."""
        (ahead, *_) = self.findings["balance_forecast"].to_pylist() or [None]
        paths = {name: json.loads(ahead[name] or "null") for name in ("expected", "low", "high")} if ahead else {}
        return {
            "user_id": self.user_id,
            "as_of": self.as_of,
            "balance": ahead and ahead["balance"],
            "balance_date": ahead and ahead["balance_date"],
            "next_payday": ahead and ahead["next_payday"],
            "dates": expected_dates(self.seen),
            "forecast": [
                {
                    "date": self.as_of + dt.timedelta(days=place + 1),
                    **{name: path and path[place] for name, path in paths.items()},
                }
                for place in range(len(paths.get("expected") or ()))
            ],
        }

    def signals(self) -> dict[str, Any]:
        """The operator's view of the windows: the shape of ``spendsense signals``.

        Behind the figures of each window stand what they were computed from, and nothing else: streams (``counted`` in
        the window's figures, ``charged`` in it), savings accounts, cards with what their liability says, interest and
        fees, payers, paychecks and checking accounts. A test recomputes every figure from them.
        """
        details, streams = self.details, self.streams()
        lines = {row["stream_id"]: row for row in details.subscriptions}
        accounts, owed, payers = details.accounts, penalties(details.rows, self.as_of), details.payers
        windows = {}
        for row in self.features().to_dict("records"):
            figures, window = _plain(row), int(row["window_days"])
            since = details.begins[window]
            paychecks = [row for row in details.paychecks if row["window_days"] == window]
            names = {check["payer"]: check["merchant"] for check in paychecks}
            windows[str(window)] = {
                "trust": _some(figures, TRUST_SIGNALS),
                "subscriptions": {
                    **_some(figures, SUBSCRIPTION_SIGNALS),
                    "streams": [
                        {
                            **stream,
                            "counted": lines.get(stream["stream_id"], {}).get(f"counted_{window}", False),
                            "charged": lines.get(stream["stream_id"], {}).get(f"charged_{window}"),
                        }
                        for stream in streams
                    ],
                },
                "savings": {
                    **_some(figures, SAVINGS_SIGNALS),
                    "accounts": [
                        {"last4": one["last4"], "balance": one["balance"], "moved": one[f"moved_{window}"]}
                        for one in accounts
                        if one["account_class"] == "savings"
                    ],
                },
                "credit": {
                    **_some(figures, CREDIT_SIGNALS),
                    "cards": [_some(one, CARD_COLUMNS) for one in accounts if one["account_class"] == "credit_card"],
                    "interest": [_some(one, ROW_COLUMNS) for one in owed if one["interest"] and one["date"] > since],
                    "fees": [_some(one, ROW_COLUMNS) for one in owed if one["fee"]],
                },
                "income": {
                    **_some(figures, INCOME_SIGNALS),
                    "payers": [
                        {**_some(one, PAYER_COLUMNS), "merchant": names.get(one["payer"])}
                        for one in payers
                        if one["window_days"] == window
                    ],
                    "paychecks": [_some(one, ("date", "amount", "merchant", "in_window")) for one in paychecks],
                    "accounts": [
                        _some(one, ("last4", "balance")) for one in accounts if one["account_class"] == "checking"
                    ],
                },
            }
        return {"user_id": self.user_id, "as_of": self.as_of, "windows": windows}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A feature row without its key, unknown as None."""
    return {name: None if pd.isna(value) else value for name, value in row.items() if name not in ("user_id", "as_of")}


def _some(figures: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: figures[name] for name in names}


def counts(root: str, consents: Consents) -> dict[str, Any]:
    """{users: {customers, operators, with_consent}, personas: {"30": {persona: n}, "180"}} of the newest day."""
    people = warehouse.load(root, "users", columns=["user_type"])
    operators = people["user_type"].to_pylist().count("operator")
    return {
        "users": {
            "customers": len(people) - operators,
            "operators": operators,
            "with_consent": len(consents),
        },
        "personas": {
            str(window): dict(sorted(Counter(_newest_personas(root, window).values()).items())) for window in WINDOWS
        },
    }

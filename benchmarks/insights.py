"""How well insights are found, and how well the forecast knows what it does not know.

    python -m benchmarks.insights [--users N] [--seed S] [--setting NAME]
    python -m benchmarks.insights --landed FOLDER --as-of DATE

Happenings are planted in generated customers, one in each, in the rows and balances that a bank delivers; recall is the
share of them that is told with the planted figure. What is told of a kind that was not planted in this customer, and
was not told of the customer before planting, is false. The forecast is replayed on past days: the share of balances
inside the 80 % interval, and of warnings that came true; of a landed folder it is replayed alone. What does not belong
here: any definition.
"""

import datetime as dt
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
import pyarrow as pa

from spendsense_pipeline import synthetic, warehouse
from spendsense_pipeline.features.compilation import make_ready
from spendsense_pipeline.features.compiled import Mode, choose
from spendsense_pipeline.features.descriptors import Payees
from spendsense_pipeline.ingest import canonical, landing
from spendsense_pipeline.payees.census import census
from spendsense_pipeline.payees.population import of_payees
from spendsense_pipeline.settings import Settings

AS_OF: Final = dt.date(2026, 6, 30)
REPLAYED: Final = 14
"""Past days on which the forecast is made again, eleven days apart, the last one 30 days before ``AS_OF``."""
SETTINGS: Final[dict[str, Callable[[int, int], synthetic.Synthetic]]] = {
    "normal": lambda users, seed: synthetic.generate(users, seed, as_of=AS_OF, days=400),
    "hard": lambda users, seed: synthetic.generate(users, seed, as_of=AS_OF, days=400, hard=True),
    "raw": lambda users, seed: synthetic.generate_raw(
        users, seed, as_of=AS_OF, days=400, country="us", evidence="bare"
    ),
}


@dataclass
class Person:
    """One customer's tables, as they are changed; ``streams`` are the planted ones of the generator's truth."""

    rows: pd.DataFrame
    accounts: pd.DataFrame
    owed: pd.DataFrame
    streams: list[dict[str, Any]]
    added: list[dict[str, Any]] = field(default_factory=list)

    def account(self, *subtypes: str) -> str | None:
        """The first account of a subtype."""
        mine = self.accounts[self.accounts["subtype"].isin(subtypes)]
        return None if mine.empty else str(mine["account_id"].iloc[0])

    def ago(self, days: int) -> dt.date:
        """A date so many days before."""
        return AS_OF - dt.timedelta(days=days)

    def add(self, account: str, days: int, amount: float, name: str, category: str) -> None:
        """A row more, as this customer's bank prints it."""
        row = dict.fromkeys(self.rows.columns) | {
            "transaction_id": f"planted_{self.rows['user_id'].iloc[0]}_{len(self.added)}",
            "user_id": self.rows["user_id"].iloc[0],
            "account_id": account,
            "date": self.ago(days),
            "amount": amount,
            "merchant_name": name,
            "pending": False,
            "batch": self.rows["batch"].iloc[0],
        }
        if self.rows["category_detailed"].notna().any():
            row["category_detailed"] = category
        self.added.append(row)

    def hold(self, account: str, balance: float) -> None:
        """Set a balance."""
        self.accounts.loc[self.accounts["account_id"] == account, ["balance_current", "balance_available"]] = balance

    def of(self, stream: dict[str, Any], days: int = 400) -> pd.DataFrame:
        """The rows of a planted stream, by its readable name."""
        name = str(stream["merchant"]).split(" ")[0].casefold()
        said = self.rows["merchant_name"].fillna("") + " " + self.rows["description_raw"].fillna("")
        mine = self.rows[said.str.casefold().str.contains(name, regex=False) & (self.rows["amount"] < 0)]
        return mine[mine["date"] > self.ago(days)].sort_values("date")


Plant = Callable[[Person], dict[str, float] | None]


def _stream(person: Person, kind: str, ago: tuple[int, int], fixed: bool) -> pd.DataFrame | None:
    """The rows of a planted stream of the kind, monthly and alone at its payee, whose last is so many days ago."""
    for stream in person.streams:
        if stream["kind"] == kind and stream["cadence"] == "monthly":
            rows = person.of(stream)
            gaps = rows["date"].map(lambda day: day.toordinal()).diff().dropna()
            alone = len(rows) >= 6 and bool(gaps.between(24, 37).all())
            recent = alone and ago[0] <= (AS_OF - rows["date"].iloc[-1]).days <= ago[1]
            if recent and fixed == (rows["amount"].iloc[-6:].nunique() == 1):
                return rows
    return None


STORES: Final = r"best buy|ebay|etsy|home ?depot|ikea|lowe'?s|ridgeline trading|target|wal-?mart"


def _duplicate(person: Person) -> dict[str, float] | None:
    rows = person.rows[(person.rows["amount"] < -20) & (person.rows["date"] > person.ago(25))]
    rows = rows[~rows["pending"].fillna(False).astype(bool)].sort_values(["date", "transaction_id"])
    times = person.rows.groupby(["merchant_name", "amount"])["amount"].transform("size")
    rows = rows[~rows["amount"].isin(-person.rows["amount"])]  # what was given back is no duplicate
    # Rides, fuel and cash come in equal amounts by habit, so that nobody could tell.
    bought = rows["category_detailed"].fillna("").str.startswith(("GENERAL_MERCHANDISE", "HOME_IMPROVEMENT"))
    if person.rows["category_detailed"].isna().all():
        said = rows["merchant_name"].fillna("") + " " + rows["description_raw"].fillna("")
        bought = said.str.contains(STORES, case=False)
    rows = rows[bought & (times[rows.index] == 1)]
    rows = rows[rows["date"] < AS_OF]
    if rows.empty:
        return None
    one = rows.iloc[len(rows) // 2].to_dict()
    one |= {"transaction_id": "planted_" + one["transaction_id"], "date": one["date"] + dt.timedelta(days=1)}
    person.added.append(one)
    return {"amount": -one["amount"]}


def _dearer(person: Person) -> dict[str, float] | None:
    rows = _stream(person, "subscription", (0, 31), fixed=True)
    if rows is None:
        return None
    new = round(min(rows["amount"].iloc[-1] * 1.15, rows["amount"].iloc[-1] - 0.5), 2)  # the least that is told
    person.rows.loc[rows.index[-1], "amount"] = new
    return {"amount": -new, "amount_before": -float(rows["amount"].iloc[-2])}


def _service(first: int, count: int, price: float, trial: float | None = None) -> Plant:
    def plant(person: Person) -> dict[str, float] | None:
        account = person.account("checking")
        said = (person.rows["merchant_name"].fillna("") + person.rows["description_raw"].fillna("")).str.casefold()
        if account is None or said.str.contains("audible").any():
            return None
        for month in range(count):
            person.add(account, first - 30 * month, -price, "Audible", "ENTERTAINMENT_MUSIC_AND_AUDIO")
        if trial is not None:
            person.add(account, first + 30, -trial, "Audible", "ENTERTAINMENT_MUSIC_AND_AUDIO")
        return {"amount": price}

    return plant


def _missing(person: Person) -> dict[str, float] | None:
    rows = _stream(person, "bill", (7, 17), fixed=True)
    if rows is None:
        return None
    person.rows = person.rows.drop(rows.index[-1])
    return {}


def _higher(person: Person) -> dict[str, float] | None:
    rows = _stream(person, "bill", (0, 12), fixed=False)
    if rows is None:
        return None
    amount = round(rows["amount"].min() * 1.4 - 12, 2)
    person.rows.loc[rows.index[-1], "amount"] = amount
    return {"amount": -amount}


def _named(person: Person, stream: dict[str, Any]) -> pd.Series:
    """The rows that name a stream's payee."""
    said = person.rows["merchant_name"].fillna("") + " " + person.rows["description_raw"].fillna("")
    return said.str.casefold().str.contains(str(stream["merchant"]).split(" ")[0].casefold(), regex=False)


def _pay(person: Person) -> pd.DataFrame | None:
    """The paychecks of somebody with one steady payer."""
    pays = [stream for stream in person.streams if stream["kind"] == "income"]
    if len(pays) != 1 or pays[0]["cadence"] not in ("biweekly", "monthly", "semi_monthly", "weekly"):
        return None
    near = (person.rows["amount"] - pays[0]["amount"]).abs() < 0.2 * pays[0]["amount"]
    rows = person.rows[_named(person, pays[0]) & near].sort_values("date")
    return rows if len(rows) >= 8 else None


def _stopped(person: Person) -> dict[str, float] | None:
    rows = _pay(person)
    if rows is None:
        return None
    gap = rows["date"].map(lambda day: day.toordinal()).diff().median()
    (payer,) = (stream for stream in person.streams if stream["kind"] == "income")
    gone = _named(person, payer) & (person.rows["amount"] > 0) & (person.rows["date"] > person.ago(int(2 * gap) + 6))
    if gone.sum() < 2 or payer.get("purpose") == "support_in":  # it had stopped before, or is neither pay nor benefit
        return None
    person.rows = person.rows[~gone]
    return {}


def _raised(person: Person) -> dict[str, float] | None:
    rows = _pay(person)
    if rows is None or (AS_OF - rows["date"].iloc[-1]).days > 20:
        return None
    new = round(float(rows["amount"].iloc[-8:-2].median()) * 1.3, 2)
    person.rows.loc[rows.index[-2:], "amount"] = new
    return {"amount": new}


def _refund(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    person.add(account, 6, 1_243.0, "IRS TREAS 310 TAX REF", "INCOME_TAX_REFUND")
    return {"amount": 1_243.0}


def _overdrawn(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    person.hold(account, -86.4)
    return {"amount": 86.4}


def _idle(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    spent = -person.rows.loc[(person.rows["amount"] < 0) & (person.rows["date"] > person.ago(180)), "amount"].sum() / 6
    person.hold(account, round(6 * spent, 2))
    return {"checking_balance": round(6 * spent, 2)}


def _late_card(person: Person) -> dict[str, float] | None:
    cards = person.owed[person.owed["liability_type"] == "credit_card"]
    if cards.empty or cards["is_overdue"].fillna(False).any():
        return None
    person.owed.loc[cards.index[0], "is_overdue"] = True
    return {}


def _minimum(person: Person) -> dict[str, float] | None:
    cards = person.owed[person.owed["liability_type"] == "credit_card"]
    if len(cards) != 1:
        return None
    at = cards.index[0]
    person.hold(str(cards.loc[at, "account_id"]), 1_800.0)
    fields = {"minimum_payment_amount": 45.0, "last_payment_amount": 45.0, "last_statement_balance": 1_750.0}
    person.owed.loc[at, [*fields, "is_overdue"]] = [*fields.values(), False]
    return {"last_payment": 45.0}


def _cash(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    spent = -person.rows.loc[(person.rows["amount"] < 0) & (person.rows["date"] > person.ago(30)), "amount"].sum()
    for days in (3, 11):
        person.add(account, days, -round(spent, 0), "ATM WITHDRAWAL", "TRANSFER_OUT_WITHDRAWAL")
    return {}


def _bears_interest(person: Person) -> dict[str, float] | None:
    said = person.rows["merchant_name"].fillna("") + " " + person.rows["description_raw"].fillna("")
    paid = said.str.contains("interest", case=False) & (person.rows["amount"] > 0)
    if paid.any() or (account := person.account("savings", "checking")) is None:
        return None
    for days in (8, 38, 68):
        person.add(account, days, 640.5, "INTEREST PAID", "INCOME_INTEREST_EARNED")
    return {"total": 640.5}


def _fee(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    person.add(account, 9, -35.0, "OVERDRAFT FEE", "BANK_FEES_OVERDRAFT_FEES")
    return {}


def _splurge(person: Person) -> dict[str, float] | None:
    known = person.rows[person.rows["category_detailed"].fillna("").str.startswith("GENERAL_MERCHANDISE")]
    months = (
        known.assign(block=known["date"].map(lambda day: (AS_OF - day).days // 30)).groupby("block")["amount"].sum()
    )
    if len(months.reindex(range(6)).dropna()) < 6 or (account := person.account("checking")) is None:
        return None
    amount = round(float(-2.5 * months.reindex(range(6)).min() + 200), 2)
    person.add(account, 4, -amount, "Larkspur Outfitters", "GENERAL_MERCHANDISE_CLOTHING_AND_ACCESSORIES")
    return {}


def _drop(person: Person) -> dict[str, float] | None:
    if (account := person.account("savings")) is None:
        return None
    balance = float(person.accounts.loc[person.accounts["account_id"] == account, "balance_current"].iloc[0])
    if not balance > 1_500:
        return None
    person.add(account, 8, -2 * balance, "Withdrawal", "TRANSFER_OUT_WITHDRAWAL")
    return {}


def _unlinked(person: Person) -> dict[str, float] | None:
    if (account := person.account("checking")) is None:
        return None
    person.add(account, 9, -431.77, "CAPITAL ONE MOBILE PMT", "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT")
    return {}


PLANTS: Final[dict[str, Plant]] = {
    "duplicate_charge": _duplicate,
    "price_rise": _dearer,
    "new_recurring": _service(65, 3, 14.95),
    "trial_became_paid": _service(62, 3, 14.95, trial=0.99),
    "bill_missing": _missing,
    "bill_higher_than_usual": _higher,
    "income_stopped": _stopped,
    "income_changed": _raised,
    "windfall": _refund,
    "overdrawn": _overdrawn,
    "idle_cash": _idle,
    "past_due": _late_card,
    "minimum_only": _minimum,
    "fees_charged": _fee,
    "unusual_spending": _splurge,
    "savings_drop": _drop,
    "card_not_linked": _unlinked,
    "cash_withdrawals": _cash,
    "interest_earned": _bears_interest,
}


FOLLOWS: Final = {
    "new_recurring": ("trial_became_paid",),
    "income_late": ("income_stopped",),
    "cash_withdrawals": ("savings_drop",),
    "unusual_spending": ("bill_higher_than_usual", "duplicate_charge"),
}
"""What a planted happening brings about beside itself."""


def accepted(made: synthetic.Synthetic) -> dict[str, pa.Table]:
    """The canonical tables of generated customers."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "batch"
        synthetic.write(made, folder)
        return landed(folder, AS_OF)


def landed(folder: Path, arrived_on: dt.date) -> dict[str, pa.Table]:
    """The canonical tables of a landed folder."""
    backend = warehouse.connect()
    surveyed = landing.survey(backend, folder)
    raw = {
        table: landing.read_raw(
            backend, folder, table, batch_id="b", arrival=1, arrived_on=arrived_on, surveyed=surveyed
        )
        for table in ("users", "accounts", "transactions", "liabilities")
    }
    judged = canonical.judge(raw)
    return {table: canonical.accepted(judged[table]).to_pyarrow() for table in raw}


def planted(
    tables: dict[str, pa.Table], truth: dict[str, Any]
) -> tuple[dict[str, pa.Table], dict[str, tuple[str, dict[str, float]]]]:
    """The tables with one happening in each customer that one fits, and by customer what was planted."""
    frames = {name: table.to_pandas(types_mapper=None) for name, table in tables.items()}
    parts: dict[str, list[pd.DataFrame]] = {"transactions": [], "accounts": [], "liabilities": []}
    by_user = {name: dict(list(frames[name].groupby("user_id"))) for name in parts}
    done: dict[str, tuple[str, dict[str, float]]] = {}
    names = list(PLANTS)
    for number, user in enumerate(sorted(by_user["transactions"])):
        mine = [by_user[name].get(user, frames[name].head(0)).copy() for name in parts]
        goes_on = mine[0]["date"].max() > AS_OF - dt.timedelta(days=5)  # of a feed that ended nothing new is known
        for turn in range(len(names) if goes_on else 0):
            name = names[(number + turn) % len(names)]
            person = Person(*(frame.copy() for frame in mine), truth["users"][user]["streams"])
            figures = PLANTS[name](person)
            if figures is not None:
                done[user] = (name, figures)
                rows = pd.concat([person.rows, pd.DataFrame(person.added, columns=person.rows.columns)])
                mine = [rows, person.accounts, person.owed]
                break
        for table, frame in zip(parts, mine, strict=True):
            parts[table].append(frame)
    changed = {
        name: pa.Table.from_pandas(pd.concat(frames_), schema=tables[name].schema, preserve_index=False)
        for name, frames_ in parts.items()
    }
    changed["transactions"] = changed["transactions"].sort_by([("user_id", "ascending"), ("date", "ascending")])
    return tables | changed, done


def told(tables: dict[str, pa.Table]) -> dict[str, dict[str, dict[str, Any]]]:
    """By customer and insight its figures."""
    # This module's main chooses how kernels run before they are loaded.
    from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
    from spendsense_pipeline.insights.of_range import insights_of

    day = (AS_OF - EPOCH).days
    evidence = evidence_of(Customers(**tables), [day], [30, 180], population(tables, day))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in insights_of(evidence, tables_of(evidence))["insights"].to_pylist():
        found.setdefault(row["user_id"], {})[row["insight"]] = json.loads(row["figures"])
    return found


def population(tables: dict[str, pa.Table], day: int) -> Payees:
    """What all customers' rows say of payees on the day."""
    backend = warehouse.connect()
    rows, accounts = (backend.create_table(name, tables[name]) for name in ("transactions", "accounts"))
    counted = census(rows, accounts, dt.date(1970, 1, 1) + dt.timedelta(days=day)).payees
    return Payees(populations={day: of_payees(pa.Table.from_pandas(counted, preserve_index=False))})


def recall_and_precision(setting: str, users: int, seed: int, *, verbose: bool = False) -> pd.DataFrame:
    """By insight: planted, told, told with the planted figures, told of others only since planting, and how many
    customers of a hundred have it without."""
    made = SETTINGS[setting](users, seed)
    tables = accepted(made)
    changed, done = planted(tables, made.truth)
    before, after = told(tables), told(changed)
    rows = []
    for name in PLANTS:
        # Who has one already is told of the larger.
        mine = {
            user: figures
            for user, (plant, figures) in done.items()
            if plant == name and name not in before.get(user, {})
        }
        right = sum(
            name in after.get(user, {})
            and all(abs(after[user][name].get(figure, np.inf) - value) < 0.01 for figure, value in figures.items())
            for user, figures in mine.items()
        )
        new = [user for user, found in after.items() if name in found and name not in before.get(user, {})]
        false = sum(done.get(user, ("",))[0] not in (name, *FOLLOWS.get(name, ())) for user in new)
        if verbose:
            missed = [user for user in mine if name not in after.get(user, {})]
            print(
                name,
                "missed",
                missed[:5],
                "false",
                [(user, done[user][0]) for user in new if done[user][0] != name][:5],
            )
        natural = sum(name in insights for insights in before.values())
        rows.append((name, len(mine), right, false, 100 * natural / max(len(made.truth["users"]), 1)))
    return pd.DataFrame(rows, columns=["insight", "planted", "right", "false", "natural"])


def forecast(tables: dict[str, pa.Table], as_of: dt.date = AS_OF) -> dict[str, float]:
    """Share of balances inside the interval, and how many warnings there were and came true."""
    from spendsense_pipeline.features.meanings import CHECKING
    from spendsense_pipeline.features.signals import EPOCH, Customers, evidence_of, tables_of
    from spendsense_pipeline.insights.forecast import DAYS, balance_forecast, low_balance_ahead
    from spendsense_pipeline.insights.seen import Seen

    last = (as_of - EPOCH).days
    days = [last - DAYS - 11 * back for back in range(REPLAYED)][::-1]
    evidence = evidence_of(Customers(**tables), [*days, last], [30, 180], population(tables, last))
    signals = tables_of(evidence)
    rows, counts = evidence.rows, Counter[str]()
    user, checking = evidence.held.user[rows.account], evidence.held.held_as[rows.account] == CHECKING
    for place, today in enumerate(days):
        seen = Seen(evidence, place, signals)
        made = balance_forecast(seen)
        if not len(made.user):
            continue
        coming = np.zeros((len(evidence.users), DAYS))
        soon = checking & (rows.day > today) & (rows.day <= today + DAYS)
        np.add.at(coming, (user[soon], rows.day[soon] - today - 1), rows.amount[soon])
        who = made.user
        actual = made.balance[:, None] + np.cumsum(coming[who], axis=1)
        known = ~np.isnan(made.low).any(axis=1) & (evidence.figures[-1]["last_day"][who] >= today + 25)
        inside = ((actual >= made.low) & (actual <= made.high))[known]
        counts["inside"] += int(inside.sum())
        counts["balances"] += inside.size
        places = {one: at for at, one in enumerate(who)}
        for one in low_balance_ahead(seen, made)["user"]:
            at = places[one]
            payday = made.next_payday[at]
            until = payday - today if payday > 0 else 15
            if known[at] and until > 1:
                counts["warned"] += 1
                counts["came true"] += int(actual[at, : until - 1].min() < 0)
    return {
        "coverage": counts["inside"] / max(counts["balances"], 1),
        "warned": counts["warned"],
        "came true": counts["came true"],
    }


@click.command()
@click.option("--users", default=400, show_default=True)
@click.option("--seed", default=5, show_default=True)
@click.option("--setting", "settings", type=click.Choice(list(SETTINGS)), multiple=True, help="default: all")
@click.option("--verbose", is_flag=True, help="name the customers that are missed or told falsely")
@click.option("--landed", "folder", type=click.Path(exists=True, path_type=Path), help="replay the forecast here")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), default=AS_OF.isoformat(), help="its newest date")
def main(
    users: int, seed: int, settings: tuple[str, ...], verbose: bool, folder: Path | None, as_of: dt.datetime
) -> None:
    """Print recall, precision and the forecast's coverage."""
    cache = Settings().kernels_folder
    make_ready(cache, None)
    choose(Mode(cache))
    if folder is not None:
        _print_forecast(forecast(landed(folder, as_of.date()), as_of.date()))
        return
    for setting in settings or tuple(SETTINGS):
        found = recall_and_precision(setting, users, seed, verbose=verbose)
        print(f"\n{setting}: {users} users, seed {seed}")
        print(f"{'insight':26}{'planted':>8}{'recall':>8}{'precision':>10}{'natural in 100':>16}")
        for row in found.to_dict("records"):
            recall = row["right"] / row["planted"] if row["planted"] else float("nan")
            precision = row["right"] / max(row["right"] + row["false"], 1)
            print(f"{row['insight']:26}{row['planted']:8}{recall:8.3f}{precision:10.3f}{row['natural']:16.1f}")
        whole = found[["planted", "right", "false"]].sum()
        print(f"{'all':26}{whole['planted']:8}{whole['right'] / whole['planted']:8.3f}"
              f"{whole['right'] / (whole['right'] + whole['false']):10.3f}")  # fmt: skip
        _print_forecast(forecast(accepted(SETTINGS[setting](users // 2, seed))))


def _print_forecast(ahead: dict[str, float]) -> None:
    print(f"forecast: {ahead['coverage']:.3f} of balances inside the interval; {ahead['came true']:.0f} of "
          f"{ahead['warned']:.0f} warnings came true")  # fmt: skip


if __name__ == "__main__":
    main()

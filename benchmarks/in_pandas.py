"""The signals in pandas, by the first edition's definitions: as an engineer writes them for one machine.

Whole columns throughout: merges, group-bys, shifts and running sums; texts are coded as numbers on reading, regular
expressions run once per distinct name, and dates are numbers of days. Word lists and thresholds are those of
``first_edition.py``: where the package's own definitions have moved on, the two differ, and ``agreement`` says by how
much.

Left out, for it would cost no time: tables without a row, checks of what is given, and dates that are dates, not
timestamps, when written.
"""

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from benchmarks import first_edition as edition
from benchmarks.data import AS_OF
from benchmarks.features import WINDOWS

TODAY = pd.Timestamp(AS_OF)
DAY = (TODAY - pd.Timestamp(0)).days


def halves(days: float) -> int:
    """Days as whole half days."""
    return round(2 * days)


CALENDARS = pd.DataFrame(edition.CALENDARS).assign(
    period=lambda t: t.period.map(halves),
    tolerance=lambda t: t.tolerance.map(halves),
    reach=lambda t: t.reach.map(halves),
    pause=lambda t: t.missable + 2,
)


def features(tables: str, out: str) -> dict[str, Any]:
    """Streams, and the features of both windows, Parquet to Parquet."""
    texts = ["account_id", "merchant_name", "merchant_entity_id", "category_primary", "category_detailed"]
    transactions = pd.read_parquet(
        f"{tables}/transactions.parquet",
        columns=["transaction_id", "date", "amount", "pending", *texts],
        read_dictionary=texts,
        to_pandas_kwargs={"date_as_object": False},
    )
    accounts, liabilities, users = (
        pd.read_parquet(f"{tables}/{name}.parquet", to_pandas_kwargs={"date_as_object": False})
        for name in ("accounts", "liabilities", "users")
    )
    users = customers(users)
    # Sorted once by its id, a row is known by its place: every later sort is stable.
    transactions = transactions[~transactions.pending.fillna(False)].sort_values("transaction_id", ignore_index=True)
    transactions["day"] = day_number(transactions.date)
    transactions = transactions.drop(columns=["transaction_id", "pending", "date"])
    held = held_accounts(transactions, accounts, users)
    classified, names = classify(transactions, held)
    found, hits = recurring_streams(classified, names, users)
    found.drop(columns="user").to_parquet(f"{out}/recurring_streams.parquet")
    at = accounts_at(transactions, held)
    for window in WINDOWS:
        table = window_features(window, classified, at, liabilities, users, found, hits)
        table.to_parquet(f"{out}/features_{window}d.parquet")
    return {"customers": len(users)}


# --- expressions ------------------------------------------------------------------------------------------------


def day_number(dates: pd.Series) -> pd.Series:
    return (dates - pd.Timestamp(0)).dt.days


def dates(days: pd.Series) -> np.ndarray:
    return days.to_numpy().astype("datetime64[D]").astype("datetime64[s]")


def cents(amount: Any) -> Any:
    return np.rint(amount * 100).astype("int64")


def money(amount: Any) -> Any:
    """To cents, half a cent away from zero: pandas rounds it to the even one."""
    return np.trunc(amount * 100 + np.copysign(0.5, amount)) / 100


def ratio(numerator: Any, denominator: pd.Series) -> pd.Series:
    return numerator / denominator.where(denominator != 0)


def plain(text: pd.Series) -> pd.Series:
    spaced = text.str.lower().str.replace(r"[!-/:-@\[-`{-~^•–—’]", " ", regex=True)
    return spaced.str.replace(" +", " ", regex=True).str.strip()


def words(text: pd.Series, *wanted: str) -> pd.Series:
    pattern = "(^| )(" + "|".join(wanted) + ")( |$)"
    return text.str.contains(pattern.replace("(", "(?:"), na=False)  # pandas warns of groups that nobody reads


def by(t: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table stably sorted by columns of numbers."""
    return t.take(np.lexsort([t[column] for column in reversed(columns)])).reset_index(drop=True)


def numbered(t: pd.DataFrame, *columns: str) -> pd.Series:
    """The number of each row's group, in a table that is sorted by the columns."""
    new = np.zeros(len(t), bool)
    for column in columns:
        new |= t[column].ne(t[column].shift()).to_numpy()
    return pd.Series(new.cumsum() - 1, t.index)


def first_by(t: pd.DataFrame, group: list[str], order: list[str], ascending: list[bool] | bool = True) -> pd.DataFrame:
    """The first row of each group."""
    return t.sort_values(order, ascending=ascending).drop_duplicates(group)


# --- accounts ---------------------------------------------------------------------------------------------------


def customers(users: pd.DataFrame) -> pd.Series:
    known = users.created_at.isna() | (users.created_at < (TODAY + pd.Timedelta(days=1)).tz_localize("UTC"))
    return users.loc[known & users.user_type.fillna("customer").eq("customer"), "user_id"].sort_values(
        ignore_index=True
    )


def account_class(accounts: pd.DataFrame) -> pd.Series:
    kinds, subtypes = (
        accounts[name]
        .str.lower()
        .str.replace("[_ -]+", " ", regex=True)
        .str.replace("[()]", "", regex=True)
        .str.strip()
        for name in ("type", "subtype")
    )
    by_type, by_subtype = (
        {
            spelling: name
            for name, spellings in reversed(edition.ACCOUNT_CLASSES.items())
            for spelling in spellings[which]
        }
        for which in (0, 1)
    )
    return kinds.map(by_type).fillna(subtypes.map(by_subtype)).fillna("other")


def held_accounts(transactions: pd.DataFrame, accounts: pd.DataFrame, users: pd.Series) -> pd.DataFrame:
    """Accounts that count, with ``user`` (the customer's place in ``users``), class, currency and first row."""
    past = transactions[transactions.day <= DAY].groupby("account_id", observed=True).day
    t = accounts.assign(
        user=pd.Index(users).get_indexer(accounts.user_id),
        account_class=account_class(accounts),
        iso=accounts.iso_currency_code.str.upper(),
        account_rows=accounts.account_id.map(past.size().astype("int64")).fillna(0),
        first_row=accounts.account_id.map(past.min().astype("float64")),
    )
    t = t[t.user >= 0]
    counted = t.groupby(["user", "iso"]).agg(rows=("account_rows", "sum"), accounts=("iso", "size")).reset_index()
    main = first_by(counted, ["user"], ["rows", "accounts", "iso"], [False, False, True]).set_index("user").iso
    t["currency"] = t.user.map(main)
    t["currency_factor"] = t.currency.map(edition.CURRENCY_FACTORS).fillna(1.0)
    opened = t.created_at.isna() | (t.created_at < (TODAY + pd.Timedelta(days=1)).tz_localize("UTC"))
    t = t[(t.iso.isna() | (t.iso == t.currency)) & (opened | (t.account_rows > 0))]
    of_user = t.groupby("user")
    t["history_start"], t["own_accounts"] = of_user.first_row.transform("min"), of_user.user.transform("size")
    return t.reset_index(drop=True)


def accounts_at(transactions: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """``held`` with balances and limits rolled back to the day."""
    later = transactions[transactions.day > DAY]
    later = later.assign(until=later.account_id.map(held.set_index("account_id").balance_date))
    later = later[later.day <= day_number(pd.to_datetime(later.until))]
    moved = held.account_id.map(later.groupby("account_id", observed=True).amount.sum()).astype("float64").fillna(0.0)
    card = held.account_class == "credit_card"
    delivered = held.balance_current.where(card, held.balance_current.fillna(held.balance_available))
    owed = held.account_class.isin(["credit_card", "loan"])
    return held.assign(
        balance=money(delivered + moved.where(owed, -moved)), limit=held.balance_limit.where(held.balance_limit > 0)
    )


# --- what a row is ----------------------------------------------------------------------------------------------


def classify(transactions: pd.DataFrame, held: pd.DataFrame) -> tuple[pd.DataFrame, pd.Index]:
    """One row per transaction that counts, with payee, merchant (places in the texts returned) and kind."""
    of_account = pd.Index(held.account_id).get_indexer(transactions.account_id.cat.categories)
    account = of_account[transactions.account_id.cat.codes]
    counts = (account >= 0) & (transactions.day <= DAY).to_numpy()
    t = transactions[counts].reset_index(drop=True).assign(account=account[counts])
    t["user"], t["own_accounts"] = (held[name].to_numpy()[t.account] for name in ("user", "own_accounts"))
    t["account_class"] = held.account_class.astype("category").array[t.account]

    category = categories(t.category_primary, t.category_detailed)
    names = read_names(t.merchant_name.cat.categories)
    spelled, seen, texts = payees(t, category.unknown | category.purchase, names)
    t["payee"], t["merchant"], paid_from = (seen[name].to_numpy()[spelled] for name in ("payee", "merchant", "paid"))
    paid = pd.Series(paid_from <= t.day)
    says = names.take(t.merchant_name.cat.codes).set_axis(t.index)  # code -1, no name, takes the last row

    inflow, outflow, unknown, purchase = t.amount > 0, t.amount < 0, category.unknown, category.purchase
    card = t.account_class == "credit_card"
    payable = ~t.account_class.isin(["credit_card", "loan", "investment"])
    payroll = says.payroll | (says.deposited_pay & (category.earned | ~says.unearned))
    fees = category.bank_fees | unknown
    interest = category.interest_charged | (fees & says.interest)
    deposit = t.account_class.isin(["checking", "savings"])
    t["penalty"] = category.penalty | (fees & says.penalty) | (deposit & interest & ~inflow)
    named_third = t.merchant_entity_id.notna() | says.peer | category.from_apps
    words_say = says.refund & ~says.tax & ~category.loan_payments & ~category.tax_refund
    from_paid = unknown & paid & ~(says.peer | says.interest | says.unearned | says.transfer)
    refund = inflow & (purchase | category.bank_fees | words_say | from_paid) & ~(payroll & payable & ~purchase)
    card_payment = (
        category.card_payment
        | (says.card_payment & (unknown | category.transfer | category.loan_payments))
        | (inflow & card & ~refund)
    )
    own_transfer = (
        category.own_funds
        | (category.other_transfer & ~named_third & ~(inflow & (payroll | says.unearned)))
        | (unknown & says.transfer & ~named_third & ~payroll)
    )
    unearned = says.unearned | says.interest | says.refund | says.peer
    paycheck = category.earned & (~unearned | payroll)
    paycheck |= (unknown | category.transfer_in) & payroll
    paycheck |= unknown & says.gig & ~paid & ~unearned
    leg = (unknown | category.transfer | (card_payment & inflow & card)) & ~payroll & ~says.fee & (t.own_accounts > 1)
    card_leg, transfer_leg = legs(
        t.assign(like_transfer=category.transfer | (unknown & says.transfer), refund=refund)[leg & (t.amount != 0)],
        len(t),
    )
    kinds = {
        "card_payment": card_payment | card_leg,
        "own_transfer": own_transfer | transfer_leg,
        "cash_withdrawal": outflow & (category.withdrawal | (unknown & says.cash_out)),
        "cash_deposit": inflow & ~payroll & (category.deposit | (unknown & says.cash_in)),
        "refund": refund,
        "fee": outflow & t.penalty,
        "interest_charged": outflow & card & interest,
        "interest_earned": inflow
        & (category.interest_earned | ((unknown | category.income) & says.interest & ~payroll)),
        "paycheck": inflow & payable & paycheck,
        "other_out": outflow,
    }
    code = np.select(
        list(kinds.values()), [edition.KINDS.index(kind) for kind in kinds], edition.KINDS.index("other_in")
    )
    t["kind"] = pd.Categorical.from_codes(code, edition.KINDS)
    columns = ["user", "account_class", "day", "amount", "payee", "merchant", "penalty", "kind"]
    return t[columns].join(category[["unknown", "never", "bill", "unearned", "transfer_out"]]), texts


def categories(primary: pd.Series, detailed: pd.Series) -> pd.DataFrame:
    """What the two categories of each row say, every pair of names read once."""
    pairs = primary.to_frame().groupby([primary.cat.codes, detailed.cat.codes], sort=False)
    codes = pairs.size().index
    primaries, details = (
        canonical(pd.Series(each.cat.categories)).reindex(codes.get_level_values(level)).reset_index(drop=True)
        for level, each in enumerate((primary, detailed))
    )
    detail = details.fillna(primaries)
    group = primaries.fillna(detail).fillna("")
    detail, unknown = detail.fillna(""), detail.isna()
    for name in reversed(edition.PRIMARIES):
        group = group.mask((detail == name) | detail.str.startswith(f"{name}_"), name)
    transfer = group.isin(["TRANSFER", "TRANSFER_IN", "TRANSFER_OUT"])
    elsewhere = ["TRANSFER_OUT_WITHDRAWAL", "TRANSFER_IN_DEPOSIT", "TRANSFER_IN_CASH_ADVANCES_AND_LOANS"]
    table = pd.DataFrame(
        {
            "unknown": unknown,
            "transfer": transfer,
            "transfer_in": group.isin(["TRANSFER_IN", "TRANSFER"]),
            "transfer_out": group == "TRANSFER_OUT",
            "other_transfer": transfer & ~detail.isin(elsewhere),
            "own_funds": detail.str.match("TRANSFER_(?:IN_|OUT_)?(?:SAVINGS|INVESTMENT_AND_RETIREMENT_FUNDS)$"),
            "from_apps": detail.str.endswith("_FROM_APPS"),
            "withdrawal": detail == "TRANSFER_OUT_WITHDRAWAL",
            "deposit": detail == "TRANSFER_IN_DEPOSIT",
            "purchase": ~unknown & ~group.isin(edition.NO_PURCHASE),
            "earned": detail.isin(edition.EARNED),
            "income": group == "INCOME",
            "interest_earned": detail == "INCOME_INTEREST_EARNED",
            "tax_refund": detail == "INCOME_TAX_REFUND",
            "bank_fees": group == "BANK_FEES",
            "interest_charged": detail == "BANK_FEES_INTEREST_CHARGE",
            "penalty": detail.isin(edition.FEE_CATEGORIES),
            "loan_payments": group == "LOAN_PAYMENTS",
            "card_payment": detail == "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT",
            "never": group.isin(edition.NEVER) | detail.isin(edition.NEVER_DETAILED),
            "bill": group.isin(edition.BILLS) | detail.isin(edition.BILLS_DETAILED),
            "unearned": detail.isin(edition.NO_INCOME) | (group == "LOAN_DISBURSEMENTS"),
        }
    ).astype(bool)
    return table.take(pairs.ngroup()).set_axis(primary.index)


def canonical(category: pd.Series) -> pd.Series:
    name = category.str.upper().str.strip().str.replace("[^A-Z0-9]+", "_", regex=True)
    return name.map({**edition.SAME, **edition.FLAT}).fillna(name.mask(name.isin(edition.UNTELLING)))


def payee_name(name: pd.Series) -> pd.Series:
    """The payee's name without processors, stores, references and dates."""
    text = name.str.lower()
    for pattern, instead in (
        ("^.*merchant name: *", ""),
        (f"^{edition.BOILERPLATE}[ -]+([0-9x]{{4,}} +)?([0-9x]+/[0-9x]+ +)?", ""),
        (f"^{edition.PROCESSORS} ?[*] ?|^paypal inst xfer ", ""),
        (" (ppd|web|ccd|tel) id.*$| (id|indn):.*$", ""),
        (" (store|card|ref|no|nbr) ?#* *[0-9x]+", " "),
        ("# ?[0-9a-z]+", " "),
        ("(^| )[0-9x]{1,4}[/-][0-9x]{1,2}([/-][0-9x]{2,4})?( |$)", " "),
    ):
        text = text.str.replace(pattern, instead, regex=True)
    text = plain(text).str.replace(" ", "  ") + " "
    for pattern in (
        " [0-9]{2,} ",
        " [a-z]*[0-9][a-z0-9]*[0-9][a-z0-9]* ",
        " x{2,} ",
        " (com|inc|llc|ltd|corp|www|gmbh) ",
        "^([0-9]{4,}|x{2,}) ",
        " +",
    ):
        text = text.str.replace(pattern, " ", regex=True)
    text = text.str.strip()
    pays = edition.PAYS
    employer = text.str.replace(f"^({pays} )+((from|deposit) )?|( {pays})+$", "", regex=True)
    employer = employer.str.replace(f"^{pays}$", "", regex=True)
    account = name.str.extract("[ :-][A-Z]{2,4}(/[0-9]{6,})$", expand=False).fillna("")
    told = plain(name)
    return employer.mask(employer == "", text).mask(lambda t: t == "", told).mask(lambda t: t == "") + account


def read_names(raw: pd.Index) -> pd.DataFrame:
    """What each distinct name says, one row each; the last row is of no name."""
    text, name = plain(raw.to_series(range(len(raw)))), payee_name(raw.to_series(range(len(raw))))
    fee = words(text, *edition.FEE)
    says = pd.DataFrame(
        {
            "payroll": words(text, *edition.PAYROLL),
            "deposited_pay": words(text, *edition.DEPOSITED_PAY),
            "gig": words(text, *edition.GIG),
            "peer": words(text, *edition.PEER),
            "interest": words(text, *edition.INTEREST),
            "refund": words(text, *edition.REFUND),
            "unearned": words(text, *edition.UNEARNED),
            "tax": words(text, "tax", "irs"),
            "fee": fee,
            "penalty": fee & words(text, *edition.FEE_CAUSE),
            "card_payment": words(text, *edition.CARD_PAYMENT)
            & ~fee
            & ~words(text, *edition.INTEREST, *edition.REFUND),
            "transfer": words(text, *edition.TRANSFER) & ~fee,
            "cash_out": (words(text, *edition.CASH_OUT) | (text == "withdrawal")) & ~fee,
            "cash_in": (words(text, *edition.CASH_IN) | (text == "deposit")) & ~words(text, *edition.DEPOSITED_PAY),
            "shared": words(name, *edition.SHARED_BILLERS),
            "by_paypal": text.str.startswith("paypal "),
            "placed": name.str.contains(f" [a-z]+ {edition.STATES}$".replace("(", "(?:"), na=False),
        }
    )
    return says.reindex(range(len(raw) + 1), fill_value=False).assign(name=name)


def payees(t: pd.DataFrame, spent: pd.Series, names: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame, pd.Index]:
    """Each row's place among the spellings, those with payee and merchant as places in texts, and the texts."""
    ids = t.merchant_entity_id.cat.categories
    texts = pd.Index(pd.concat([names.name.dropna(), ids.to_series()]).unique()).sort_values()
    spellings = pd.DataFrame(
        {
            "user": t.user,
            "spelling": t.merchant_name.cat.codes,
            "id": np.append(texts.get_indexer(ids), -1)[t.merchant_entity_id.cat.codes],
            "paid": t.day.where((t.amount < 0) & spent),
        }
    ).groupby(["user", "spelling", "id"], sort=False)
    seen = spellings.paid.agg(["size", "min"]).set_axis(["rows", "paid"], axis=1).reset_index()
    names = names.assign(name=texts.get_indexer(names.name))
    seen = seen.join(names.take(seen.spelling).set_axis(seen.index))
    seen["name"] = without_places(seen, texts)

    under = seen[seen.id >= 0].groupby(["user", "id"])
    known = seen.name.where(seen.name >= 0).where(seen.id >= 0).groupby([seen.user, seen.id])
    paypal = under.by_paypal.transform("all").reindex(seen.index, fill_value=False)
    seen["shared"] |= paypal & (known.transform("min") < known.transform("max"))
    seen["stable"] = seen.id.where((under.rows.transform("sum").reindex(seen.index) >= 2) & ~seen.shared, -1)
    usual = seen[(seen.stable >= 0) & (seen.name >= 0)].groupby(["user", "name", "stable"]).rows.sum().reset_index()
    usual = first_by(usual, ["user", "name"], ["rows", "stable"], [False, True]).rename(columns={"stable": "usual"})
    seen = seen.merge(usual[["user", "name", "usual"]], on=["user", "name"], how="left")
    joins = (seen.id < 0) & ~seen.shared & seen.usual.notna()
    readable = seen.name.where(seen.name >= 0, seen.id)
    seen["payee"] = seen.stable.where(seen.stable >= 0, seen.usual.where(joins, readable)).astype("int64")
    spending = ~(seen.transfer | seen.card_payment | seen.cash_out | seen.fee)
    one = seen.assign(merchant=readable, paid=seen.paid.where(spending)).groupby(["user", "payee"])
    seen["merchant"], seen["paid"] = one.merchant.transform("min"), one.paid.transform("min").mask(seen.payee < 0)
    return spellings.ngroup(), seen, texts


def without_places(seen: pd.DataFrame, texts: pd.Index) -> pd.Series:
    """Names without city and state where the customer also knows the payee without: the longest such name."""
    name = seen.loc[seen.placed, "name"].drop_duplicates()
    text = pd.Series(texts[name], name)
    stems = [
        text.str.replace(f"( [a-z]+){{{count}}} {edition.STATES}$", "", regex=True)
        for count in range(1, edition.PLACE_WORDS + 1)
    ]
    stems = pd.concat(stems).rename("stem").rename_axis("name").reset_index()
    stems = stems.assign(length=stems.stem.str.len(), stem=texts.get_indexer(stems.stem))
    stems = stems[(stems.stem >= 0) & (stems.stem != stems.name)]
    known = seen[["user", "name"]].drop_duplicates()
    bare = seen.loc[seen.placed, ["user", "name"]].drop_duplicates().merge(stems, on="name")
    bare = bare.merge(known.rename(columns={"name": "stem"}), on=["user", "stem"])
    bare = first_by(bare, ["user", "name"], ["length"], False)
    stem = seen[["user", "name"]].merge(bare, on=["user", "name"], how="left").stem
    return stem.fillna(seen.name).astype("int64")


def legs(sides: pd.DataFrame, rows_in_all: int) -> tuple[np.ndarray, np.ndarray]:
    """Which rows have an equal and opposite one on another own account within days: onto a card, and otherwise."""
    sides = sides.rename_axis("row").reset_index()
    sides = sides.assign(size=cents(sides.amount.abs()), onto_card=sides.account_class == "credit_card")
    out = sides[(sides.amount < 0) & (sides.account_class != "loan")]
    into = sides[(sides.amount > 0) & (sides.account_class != "loan") & ~(sides.onto_card & sides.refund)]
    days = np.arange(-edition.LEG_DAYS, edition.LEG_DAYS + 1)
    apart = np.tile(days, len(into))
    into = into.loc[into.index.repeat(len(days))].assign(apart=apart, day=lambda t: t.day + apart)
    key = ["user", "size", "day"]
    pairs = into[[*key, "row", "account", "onto_card", "like_transfer", "apart"]].merge(
        out[[*key, "row", "account", "like_transfer"]], on=key, suffixes=("", "_out")
    )
    pairs = pairs[
        (pairs.account != pairs.account_out) & (pairs.onto_card | pairs.like_transfer | pairs.like_transfer_out)
    ].assign(elsewhere=lambda t: ~t.onto_card, near=lambda t: t.apart.abs())
    order = ["elsewhere", "near", "apart"]
    best = first_by(pairs, ["row"], [*order, "row_out"]).index.intersection(
        first_by(pairs, ["row_out"], [*order, "row"]).index
    )
    onto_card, elsewhere = np.zeros(rows_in_all, bool), np.zeros(rows_in_all, bool)
    for found, which in ((onto_card, pairs.loc[best].onto_card), (elsewhere, pairs.loc[best].elsewhere)):
        found[pairs.loc[best, ["row", "row_out"]][which]] = True
    return onto_card, elsewhere


# --- what may repeat --------------------------------------------------------------------------------------------


def charges(t: pd.DataFrame, texts: pd.Index) -> pd.DataFrame:
    """Candidate rows that no refund cancels, sorted by ``payee_no`` and date."""
    text = plain(texts.to_series(range(len(texts))))
    says = pd.DataFrame(
        {
            "no_income": words(text, *edition.NO_INCOME_WORDS),
            "never": words(text, *edition.NEVER_WORDS),
            "bill": words(text, *edition.BILL_WORDS),
        }
    )
    t = t[(t.kind.isin(["refund", *edition.CANDIDATES])) & (t.payee >= 0)]
    t = t.assign(refund=t.kind == "refund", price=cents(t.amount.abs()), earned=t.kind == "paycheck")
    t = t[t.price > 0]
    inflow = (t.amount > 0) & ~t.refund
    says_no = says.no_income.to_numpy()[t.merchant], says.never.to_numpy()[t.merchant]
    t = t.assign(
        inflow=inflow,
        unnamed=t.unknown & (~inflow | (t.kind == "other_in")),
        never=t.unearned.where(inflow, t.never),
        says_never=np.where(inflow, *says_no),
        bill=np.where(t.unknown, np.where(says.bill.to_numpy()[t.merchant], 1.0, np.nan), t.bill),
        least_varying=np.select(
            [inflow, t.transfer_out],
            [edition.LEAST_VARYING_INCOME, edition.LEAST_VARYING_TRANSFERS],
            edition.LEAST_VARYING,
        ),
    )
    t["shunned"] = t.never.where(~t.unnamed, t.says_never)
    t["told"] = ~t.unnamed | t.inflow | t.says_never
    payee = t.groupby(["user", "payee", "inflow"])
    t["payee_no"] = payee.ngroup()
    of_payee = payee.agg(rows=("price", "size"), shunned=("shunned", "sum"), told=("told", "sum"))
    kept = (of_payee.rows > 1) & ((2 * of_payee.shunned < of_payee.told) | (of_payee.told == 0))
    t = t[kept.to_numpy()[t.payee_no] & ~t.shunned]
    t = not_refunded(by(t, "payee_no", "day"))
    day = pd.Series(dates(pd.Series(range(t.day.min(), DAY + 1))))  # each date is read once
    t["moved"], t["months"] = (read(day).to_numpy()[t.day - t.day.min()] for read in (alignment, month_position))
    return t.assign(days=2 * t.day)


def alignment(dates: pd.Series) -> pd.Series:
    length = dates.dt.days_in_month
    return (2 * (edition.MONTH - length)).where(dates.dt.day >= length - 2, 0)


def month_position(dates: pd.Series) -> pd.Series:
    months = dates.dt.year * 12 + dates.dt.month - 1
    return 2 * (months * edition.MONTH + dates.dt.day - 1) + alignment(dates)


def not_refunded(t: pd.DataFrame) -> pd.DataFrame:
    """Charges without those that a refund cancels, as a bracket closes the latest that is open."""
    doubtful = t[t.payee_no.isin(t.payee_no[t.refund])].rename_axis("row").reset_index()
    doubtful = by(doubtful, "payee_no", "price", "day", "refund")
    doubtful["depth"] = 1 - 2 * doubtful.refund
    doubtful["depth"] = doubtful.groupby(["payee_no", "price"]).depth.cumsum() + doubtful.refund
    after = doubtful.groupby(["payee_no", "price", "depth"])
    refunded = after.refund.shift(-1, fill_value=False) & (after.day.shift(-1) - doubtful.day <= edition.REFUND_DAYS)
    return t.drop(index=doubtful.row[refunded | doubtful.refund]).reset_index(drop=True)


def near(lower: pd.Series, higher: pd.Series) -> pd.Series:
    return higher * 100 <= lower * edition.SAME_PRICE


def segments(t: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per segment, and each charge once per segment that it may belong to, in order of segment and date."""
    prices = t.groupby(["payee_no", "price"])
    t = t.assign(price_id=prices.ngroup())
    p = prices.size().rename("price_rows").reset_index()
    payees = t.groupby("payee_no")
    of_payee = payees.agg(
        payee_rows=("price", "size"),
        middle=("price", "median"),
        bill=("bill", "mean"),
        earned=("earned", "mean"),
        inflow=("inflow", "first"),
    )
    p["near_no"] = (p.payee_no.ne(p.payee_no.shift()) | ~near(p.price.shift(), p.price)).cumsum()
    once = p.price_rows == 1
    p["repeated_rows"] = p.price_rows.where(~once, 0)
    p["price_of_once"] = p.price.where(once)
    of_payee = of_payee.join(
        p.assign(repeated=~once)
        .groupby("payee_no")
        .agg(
            prices=("price", "size"),
            repeated_prices=("repeated", "sum"),
            repeated_rows=("repeated_rows", "sum"),
            middle_of_once=("price_of_once", "median"),
        )
    )
    of_near = p.groupby("near_no").agg(
        near_rows=("price_rows", "sum"), lowest=("price", "min"), highest=("price", "max")
    )
    of_payee["may_vary"] = (of_payee.bill >= 0.5) | (of_payee.earned >= 0.5)
    p = p.drop(columns="repeated_rows").join(of_near, on="near_no").join(of_payee, on="payee_no")

    def about(middle: pd.Series) -> pd.Series:
        return p.may_vary & (p.price * edition.VARIATION >= middle) & (p.price <= middle * edition.VARIATION)

    bases = {
        edition.ONE_PRICE: (~once | about(p.middle_of_once), p.price.where(~once, edition.ONCE)),
        edition.NEAR_PRICES: ((p.near_rows > p.price_rows) & near(p.lowest, p.highest), p.near_no),
        edition.ALL_PRICES: (
            (p.prices > 1)
            & (p.payee_rows > 2)
            & (about(p.middle) | (~p.may_vary & ((p.prices - 1) * 3 <= p.payee_rows))),
            0,
        ),
        edition.REPEATED_PRICES: (
            ~once
            & (p.repeated_prices > 1)
            & (p.repeated_rows < p.payee_rows)
            & ((p.repeated_prices - 1) * 3 <= p.repeated_rows),
            0,
        ),
    }
    laid = pd.concat(
        [
            p.assign(basis=basis, price_no=number)[wanted & (p.payee_rows > 1)]
            for basis, (wanted, number) in bases.items()
        ]
    )
    laid = laid.rename_axis("price_id").reset_index()
    key = ["payee_no", "basis", "price_no"]
    laid["segment_rows"] = laid.groupby(key).price_rows.transform("sum")
    laid = by(laid[laid.segment_rows > 1], *key)
    laid["segment"] = numbered(laid, *key)
    laid["by_price"] = (laid.basis >= edition.ALL_PRICES) | (laid.price_no == edition.ONCE)
    each = laid.drop_duplicates("segment").set_index("segment")
    each = each[["payee_no", "basis", "segment_rows", "payee_rows", "inflow", "may_vary"]]
    t = t[["price_id", "price", "least_varying", "days", "months", "moved"]].rename_axis("row").reset_index()
    t = t.merge(laid[["price_id", "segment", "by_price"]], on="price_id").drop(columns="price_id")
    t = by(t, "segment", "row")
    t["segment_row"] = t.groupby("segment").cumcount()
    return each, t


# --- streams ----------------------------------------------------------------------------------------------------


def fitting(each: pd.DataFrame, t: pd.DataFrame) -> pd.DataFrame:
    """The rulers that may explain a segment: ``segment`` and ``rank``, the place among the calendars."""
    months, period, tolerance = (CALENDARS[name].to_numpy() for name in ("of_months", "period", "tolerance"))
    semi_monthly = CALENDARS.index.to_numpy() == edition.SEMI_MONTHLY
    one_slot = np.where(semi_monthly, 2, 1) * period  # each of two paydays a month keeps its own day
    slack = 2 * tolerance + np.where(months, halves(edition.MOST_MOVED), 0)
    close = np.zeros((len(CALENDARS), len(t)), bool)
    for back in edition.NEXT_ROWS:
        for unit in ("days", "months"):
            gap = t[unit].diff(back).where(t.segment_row >= back).to_numpy()
            for rank in np.flatnonzero(months == (unit == "months")):
                close[rank] |= np.abs(gap - one_slot[rank]) <= slack[rank]
    pairs = pd.DataFrame(close.T).groupby(t.segment).sum().to_numpy()
    days = t.groupby("segment").days
    span = ((days.last() - days.first()) // 2).to_numpy()[:, None]
    number = each.segment_rows.to_numpy()[:, None]
    fits = (
        (each.inflow.to_numpy()[:, None] | ~semi_monthly)
        & (2 * (span + 3) >= period - 2 * tolerance)
        & (number <= (2 * span / period + 2) * edition.LANES / edition.EXPLAINED)
        & (pairs >= 1)
        & (pairs * 8 >= (number - 1) * edition.EXPLAINED_EVER)
    )
    segment, rank = np.nonzero(fits)
    return pd.DataFrame({"segment": segment, "rank": rank})


def on_rulers(t: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """Rows that lie on a ruler within its tolerance, sorted by ``line`` and slot."""
    rulers = CALENDARS[["of_months", "period", "tolerance", "reach", "pause"]]
    t = fits.join(rulers, on="rank").rename_axis("circle").reset_index().merge(t, on="segment")
    t["place"] = t.months.where(t.of_months, t.days)
    t["moved"] = t.moved.where(t.of_months, 0)
    t["phase"] = t.place % t.period
    t = by(t.drop(columns=["of_months", "months", "days"]), "circle", "phase")

    # Days of the period that lie close together are one group; the first may be the end of the last.
    circles = t.groupby("circle")
    apart = (t.phase.diff() > t.reach) & t.circle.eq(t.circle.shift())
    t["day_group"] = apart.groupby(t.circle).cumsum()
    groups, first, last = circles.day_group.transform("last"), *(circles.phase.transform(end) for end in ("min", "max"))
    wrapped = (t.day_group == 0) & (groups > 0) & (first + t.period - last <= t.reach)
    t["day_group"] = t.day_group.where(~wrapped, groups)
    t["offset"] = t.phase + t.period.where(wrapped, 0)
    t["slot"] = t.place // t.period - wrapped

    # Two plans on neighbouring days share the slots: by price where prices differ, else by date.
    t["ordered"] = (-t.price).where(t.by_price, 0)
    t = by(t.drop(columns=["place", "phase", "reach", "by_price"]), "circle", "day_group", "slot", "ordered", "row")
    lane = t.groupby(numbered(t, "circle", "day_group", "slot")).cumcount()
    t["lane"] = edition.LANES * numbered(t, "circle", "day_group") + lane
    t = t[lane < edition.LANES].copy()
    semi_monthly = t["rank"] == edition.SEMI_MONTHLY
    t["half"] = (t.slot % 2).where(semi_monthly, 0)
    lanes = t.groupby(2 * t.lane + t.half).offset
    number, middle, earliest, latest = (lanes.transform(how) for how in ("size", "median", "min", "max"))
    inside = np.maximum(np.minimum(middle, earliest + t.tolerance), latest - t.tolerance)
    anchor = inside.where(latest - earliest <= 2 * t.tolerance, middle)
    distance = np.minimum((t.offset - anchor).abs(), (t.offset - t.moved - anchor).abs())
    t = t.assign(anchor=anchor, middle=middle, off=(t.offset - middle).abs(), distance=distance)
    t = t[((number > 1) | semi_monthly) & (distance <= t.tolerance)].drop(columns=["ordered", "offset", "moved"])

    t = by(t, "lane", "slot")
    t = one_after_another(t.assign(line=t.lane))
    # A line that paused for longer than makes it inactive is another line when it comes back.
    return t.assign(line=(~t.continues).cumsum(), change=t.change.where(t.continues)).drop(
        columns=["lane", "continues"]
    )


def one_after_another(t: pd.DataFrame) -> pd.DataFrame:
    """Hits, sorted by line and slot, with what they are to those before."""
    line = t.groupby("line", sort=False)
    before = t.slot - line.slot.shift()
    return t.assign(
        in_a_row=np.select([t.slot - line.slot.shift(2) == 2, before == 1], [3, 2], 1),
        change=t.price / line.price.shift() - 1,
        continues=before <= t.pause,
    )


def regular_lines(hits: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """Lines of the ruler and the basis that explain most: by ``line``, whether ``fixed``, ``least``, ``others``."""
    h = hits.assign(
        error=hits.distance / hits.tolerance,
        off=hits.off / hits.tolerance,
        changed=hits.change.fillna(0) != 0,
    )
    t = h.groupby("line").agg(
        segment=("segment", "first"),
        rank=("rank", "first"),
        hits=("slot", "size"),
        first_slot=("slot", "first"),
        last_slot=("slot", "last"),
        error=("error", "mean"),
        off=("off", "mean"),
        lowest=("price", "min"),
        highest=("price", "max"),
        changes=("changed", "sum"),
        least_varying=("least_varying", "max"),
        second_half=("half", "sum"),
        in_a_row=("in_a_row", "max"),
        from_row=("segment_row", "min"),
        to_row=("segment_row", "max"),
    )
    slots = t.last_slot - t.first_slot + 1
    lesser = np.minimum(t.second_half, t.hits - t.second_half)
    t = t[
        ((t["rank"] != edition.SEMI_MONTHLY) | (lesser * 3 >= t.hits))
        & (t.hits * 3 >= slots * 2)
        & ((t.hits > 2) | ((t.hits == 2) & (slots == 2)))
    ]
    t = t.join(h[h.line.isin(t.index)].groupby("line").price.nunique().rename("prices"))
    t = t.join(CALENDARS[["cadence", "least_hits"]], on="rank").join(each, on="segment")
    t["fixed"] = near(t.lowest, t.highest) | ((t.changes + 1 == t.prices) & (t.changes * 3 <= t.hits))
    often = np.where(t.inflow, ~t.cadence.isin(["quarterly", "annual"]), t.cadence.isin(["monthly", "quarterly"]))
    varies = t.may_vary & often & ((t.in_a_row >= edition.LEAST_VARYING) | (t.hits > edition.LEAST_VARYING))
    least = np.maximum(t.least_hits, t.least_varying.mask(t.fixed, edition.LEAST_VARYING))
    t["least"] = least.mask(t.fixed & (t.prices < t.hits), t.least_hits)
    t = t[(t.fixed | (varies & (~t.inflow | (t.off <= edition.NEAR_ITS_DAYS)))) & (t.hits >= t.least)]

    ruler = (
        t.groupby(["segment", "rank"])
        .agg(
            payee_no=("payee_no", "first"),
            basis=("basis", "first"),
            explained=("hits", "sum"),
            lines=("hits", "size"),
            first=("first_slot", "min"),
            last=("last_slot", "max"),
            error=("error", "mean"),
            from_row=("from_row", "min"),
            to_row=("to_row", "max"),
            rows=("segment_rows", "first"),
        )
        .reset_index()
    )
    ruler["gain"] = ruler.explained - ruler.lines
    ruler = ruler[
        (ruler.explained >= (ruler.to_row - ruler.from_row + 1) * edition.EXPLAINED)
        & (ruler.gain >= (ruler.rows - 1) * edition.EXPLAINED_EVER)
        & (ruler.explained <= (ruler["last"] - ruler["first"] + 1) * edition.LANES)
    ]
    ruler = ruler.assign(loss=-ruler.gain, four=ruler["rank"] == edition.FOUR_WEEKLY, error=ruler.error.round(9))
    ruler = first_by(ruler, ["segment"], ["loss", "lines", "four", "error", "rank"])
    basis = ruler.groupby(["payee_no", "basis"])[["explained", "lines", "loss"]].sum().reset_index()
    basis = first_by(basis, ["payee_no"], ["loss", "lines", "basis"])
    best = ruler[["segment", "rank", "payee_no", "basis"]].merge(basis[["payee_no", "basis", "explained"]])
    t = t.reset_index().merge(best[["segment", "rank", "explained"]], on=["segment", "rank"])
    return t.assign(others=t.payee_rows - t.explained)[["line", "payee_no", "fixed", "least", "others"]]


def continued(t: pd.DataFrame) -> pd.DataFrame:
    """Hits whose ``line`` is their stream: a line that goes on where another of the payee stopped is one with it."""
    t["place"] = t.slot * t.period + t.anchor
    lines = by(t, "line", "place").groupby("line")
    lines = lines.agg(
        payee_no=("payee_no", "first"),
        rank=("rank", "first"),
        first=("place", "first"),
        last=("place", "last"),
        first_price=("price", "first"),
        last_price=("price", "last"),
        fixed=("fixed", "all"),
    )
    lines = lines[lines.fixed].reset_index()
    linked = lines.merge(lines, on=["payee_no", "rank"], suffixes=("", "_after"))
    ruler = CALENDARS[["period", "tolerance", "pause"]].take(linked["rank"]).set_axis(linked.index)
    apart = linked.first_after - linked["last"]
    slots = (apart / ruler.period).round()
    rise = linked.first_price_after / linked.last_price
    linked = linked.assign(apart=apart, price_step=np.maximum(rise, 1 / rise))[
        (slots >= 1)
        & (slots <= ruler.pause)
        & ((apart - slots * ruler.period).abs() <= ruler.tolerance)
        & (linked.first_price_after <= linked.last_price * edition.VARIATION)
        & (linked.first_price_after * edition.VARIATION >= linked.last_price)
    ]
    origins = first_by(linked, ["line_after"], ["apart", "price_step", "line"])
    heirs = first_by(linked, ["line"], ["apart", "price_step", "line_after"])
    origin = linked.loc[origins.index.intersection(heirs.index)].set_index("line_after").line
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        origin = origin.map(origin).fillna(origin)
    t["line"] = t.line.map(origin).fillna(t.line).astype("int64")
    t = by(t, "line", "place")
    turns = ((t.anchor - t.groupby("line").anchor.transform("first")) / t.period).round().astype("int64")
    return t.assign(slot=t.slot + turns, middle=t.middle - turns * t.period)


def recurring_streams(classified: pd.DataFrame, texts: pd.Index, users: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The streams, with their ``user``, and the hits by place among the streams: ``stream, day, amount``."""
    charged = charges(classified, texts)
    each, t = segments(charged)
    t = on_rulers(t, fitting(each, t))
    t = t.merge(regular_lines(t, each), on="line")
    t = by(continued(t), "line", "slot")
    of_line = t.groupby("line")
    hits = of_line.slot.transform("size")
    enough = t.fixed & (hits >= of_line.least.transform("min") + edition.MORE_AMONG_OTHERS)
    t = one_after_another(t[(t.others * 2 <= hits) | enough])
    told = ["user", "payee_no", "payee", "merchant", "inflow", "bill", "price", "day", "amount"]
    t = t.drop(columns=["payee_no", "price"]).join(charged[told], on="row")
    t["step"] = (t.change.abs() > edition.PRICE_STEP) & t.fixed
    t["level"] = t.step.groupby(t.line).cumsum()
    newest = t.level == t.groupby("line")["level"].transform("last")
    t = t.assign(
        newest_amount=t.amount.where(newest),
        newest_price=t.price.where(newest),
        newest_step=t.change.where(newest & t.step),
        error=t.distance / t.tolerance,
        first_half=t.middle.where(t.half == 0),
        second_half=t.middle.where(t.half == 1),
    )
    s = t.groupby("line").agg(
        user=("user", "first"),
        payee_no=("payee_no", "first"),
        payee=("payee", "first"),
        merchant=("merchant", "last"),
        inflow=("inflow", "first"),
        rank=("rank", "first"),
        bill=("bill", "max"),
        occurrences=("day", "size"),
        first_day=("day", "first"),
        first_price=("price", "first"),
        first_date=("day", "min"),
        last_date=("day", "max"),
        typical_amount=("newest_amount", "median"),
        last_amount=("amount", "last"),
        price_change=("newest_step", "max"),
        first_slot=("slot", "min"),
        last_slot=("slot", "max"),
        in_a_row=("in_a_row", "max"),
        anchor=("first_half", "median"),
        other_anchor=("second_half", "median"),
        error=("error", "mean"),
        price_mean=("newest_price", "mean"),
    )
    s["spread"] = t.groupby("line").newest_price.std(ddof=0) / s.price_mean
    s = judged(s.reset_index(), texts, users)
    t["stream"] = t.line.map(pd.Series(s.index, s.line))
    return s.drop(columns="line"), t.loc[t.stream.notna(), ["stream", "day", "amount"]]


def judged(s: pd.DataFrame, texts: pd.Index, users: pd.Series) -> pd.DataFrame:
    """The streams that stand, as the table that is written."""
    ruler = CALENDARS.take(s["rank"]).set_axis(s.index)
    next_slot = s.last_slot + 1
    odd = (s["rank"] == edition.SEMI_MONTHLY) & (next_slot % 2 == 1)
    expected = next_slot * ruler.period + s.anchor.mask(odd, s.other_anchor)
    today = np.where(ruler.of_months, month_position(pd.Series([TODAY]))[0], 2 * DAY)
    missed = np.ceil((today - ruler.tolerance - expected) / ruler.period).clip(lower=0)
    inactive = missed > ruler.missable
    mature = s.in_a_row >= ruler.consecutive
    regular_dates = s.occurrences / (s.last_slot - s.first_slot + 1) * (1 - s.error / 2)
    confidence = regular_dates * (1 - s.spread.fillna(0)).clip(lower=0) * (1 - 0.5**s.occurrences)
    # The same from day to day: named for its first hit, and two equal plans on one day by their order.
    ordinal = by(s.assign(place=s.index), "payee_no", "first_day", "first_price", "line")
    ordinal = ordinal.groupby(["payee_no", "first_day", "first_price"]).cumcount().set_axis(ordinal.place).sort_index()
    user_id = users.take(s.user).set_axis(s.index)
    name = user_id + "|" + pd.Series(texts[s.payee], s.index) + "|" + np.where(s.inflow, "in", "out") + "|"
    name += np.datetime_as_string(dates(s.first_day), "D") + "|" + s.first_price.astype(str) + "|" + ordinal.astype(str)
    merchant, text = pd.factorize(s.merchant)
    readable = [" ".join(w.upper() if "/" in w else w.capitalize() for w in one.split(" ")) for one in texts[text]]
    cost = money(s.typical_amount.abs() * ruler.monthly_factor)
    table = pd.DataFrame(
        {
            "line": s.line,
            "user": s.user,
            "stream_id": ["str_" + hashlib.sha256(one.encode()).hexdigest()[:20] for one in name],
            "user_id": user_id,
            "as_of": TODAY,
            "merchant": pd.array(readable, dtype="str").take(merchant),
            "kind": np.select([s.inflow, s.bill == 1], ["income", "bill"], "subscription"),
            "cadence": ruler.cadence,
            "status": np.select([inactive, mature], ["inactive", "mature"], "early"),
            "occurrences": s.occurrences,
            "first_date": dates(s.first_date),
            "last_date": dates(s.last_date),
            "expected_next_date": date_at(expected, ruler.of_months).mask(inactive),
            "typical_amount": money(s.typical_amount),
            "last_amount": s.last_amount,
            "monthly_cost": cost.mask(s.inflow),
            "price_change": s.price_change.round(9).mask(s.inflow),
            "confidence": confidence.clip(0, 1).round(6),
        }
    )
    return table[~inactive | (s.occurrences > 2) | (ruler.cadence == "annual")].reset_index(drop=True)


def date_at(place: pd.Series, of_months: pd.Series) -> pd.Series:
    """The date of a position; a day that the month lacks is the month's last."""
    days = np.floor(place.to_numpy() / 2).astype("int64")
    month = (days // edition.MONTH - 1970 * 12).astype("datetime64[M]")
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype("int64")
    date = np.where(
        of_months,
        month.astype("datetime64[D]") + np.minimum(days % edition.MONTH, length - 1),
        days.astype("datetime64[D]"),
    )
    return pd.Series(date.astype("datetime64[s]"), place.index)


# --- features ---------------------------------------------------------------------------------------------------


def window_features(
    window: int,
    t: pd.DataFrame,
    at: pd.DataFrame,
    liabilities: pd.DataFrame,
    users: pd.Series,
    found: pd.DataFrame,
    hits: pd.DataFrame,
) -> pd.DataFrame:
    """One row per customer."""
    inside = t[t.day > DAY - window]
    spent = inside.account_class.isin(edition.SPENDING_ACCOUNTS) & inside.kind.isin(edition.SPENDING_KINDS)
    fees = t[(t.day > DAY - edition.FEE_DAYS) & t.kind.isin(["fee", "refund"]) & t.penalty]
    flows = {
        "spent": -inside[spent].groupby("user").amount.sum(),
        "interest": -inside[inside.kind == "interest_charged"].groupby("user").amount.sum(),
        "saved": inside[inside.account_class == "savings"].groupby("user").amount.sum(),
        "fees": -fees.groupby("user").amount.sum(),
    }
    f = pd.DataFrame({name: money(flow) for name, flow in flows.items()}, index=users.index).fillna(0.0)
    f = f.join(holdings(at)).join(cards(at)).join(obligations(at, liabilities)).join(pay(t, window))
    f = f.join(subscription_sums(window, found, hits))
    any_rows = f.history_start.notna()
    history = (DAY - f.history_start).fillna(0)
    months = np.minimum(window, np.maximum(history, edition.LEAST_MONTH_DAYS)) / 30

    spend = f.spent.clip(lower=0).where(any_rows)
    expenses = money(spend / months)
    moved = f.saved.where(any_rows & f.savings.fillna(False))
    start = money(f.savings_balance - moved)
    recurring = f.recurring.fillna(0)
    says = any_rows & ((history >= edition.LEAST_HISTORY_DAYS) | (recurring > 0))
    table = pd.DataFrame(
        {
            "user_id": users,
            "as_of": TODAY,
            "window_days": window,
            "history_days": history.astype("int64"),
            "recurring_merchants": recurring.where(says).astype("Int64"),
            "monthly_recurring_spend": money(f.monthly.fillna(0)).where(says),
            "subscription_spend_share": ratio(money(f.charged.fillna(0)), spend).where(says),
            "total_spend": spend,
            "avg_monthly_expenses": expenses,
            "net_savings_inflow": money(moved / months),
            "savings_balance": f.savings_balance,
            "savings_growth_rate": (moved / start).where(start > 0),
            "emergency_fund_months": ratio(f.savings_balance, expenses),
            "card_count": f.card_count.fillna(0).astype("int64"),
            "cards_with_unknown_limit": f.cards_with_unknown_limit.fillna(0).astype("int64"),
            "avg_utilization": f.avg_utilization,
            "max_utilization": f.max_utilization,
            **{flag: f[flag].mask(f.card_count.isna(), False) for flag in edition.UTILIZATION_FLAGS},
            "minimum_payment_only_flag": f.minimum_payment_only_flag.mask(f.owes.isna(), False),
            "interest_charges": f.interest.where(any_rows),
            "interest_charges_present": (f.interest > 0).astype("boolean").where(any_rows),
            "any_overdue": f.any_overdue.mask(f.owes.isna(), False),
            "fees_180d": f.fees.clip(lower=0).where(any_rows),
            "payroll_detected": (f.checks.fillna(0) >= 2).astype("boolean").where(any_rows),
            "pay_frequency": f.pay_frequency,
            "median_pay_gap_days": f.median_pay_gap_days,
            "income_variability": f.income_variability,
            "avg_monthly_income": money(f.steady_income + f.other_income / months),
            "cash_flow_buffer_months": ratio(f.checking_balance, expenses),
            "investment_account_detected": f.invests.fillna(False).astype(bool),
            "currency": f.currency,
            "currency_factor": f.currency_factor.fillna(1.0),
        }
    )
    return table.round(dict.fromkeys(edition.RATES, 9))


def holdings(at: pd.DataFrame) -> pd.DataFrame:
    held = at.groupby("user")
    t = held[["history_start", "currency", "currency_factor"]].first()
    for name in ("savings", "checking"):
        balances = at[at.account_class == name].groupby("user").balance
        t[f"{name}_balance"] = money(balances.sum().where(balances.count() == balances.size()))
    t["savings"] = t.index.isin(at.user[at.account_class == "savings"])
    t["invests"] = t.index.isin(at.user[at.account_class == "investment"])
    return t


def cards(at: pd.DataFrame) -> pd.DataFrame:
    each = at[at.account_class == "credit_card"]
    owed, known = each.balance.clip(lower=0), each.limit.notna()
    each = each.assign(unlimited=~known, owed=owed.where(known), utilization=owed / each.limit)
    each["unknown"] = known & each.balance.isna()
    t = each.groupby("user").agg(
        card_count=("unlimited", "size"),
        cards_with_unknown_limit=("unlimited", "sum"),
        owed=("owed", "sum"),
        limit=("limit", "sum"),
        unknown=("unknown", "any"),
        max_utilization=("utilization", "max"),
    )
    t["avg_utilization"] = ratio(t.owed, t.limit).mask(t.unknown)
    for flag, share in edition.UTILIZATION_FLAGS.items():
        t[flag] = (each.utilization.astype("Float64") >= share).groupby(each.user).any(skipna=False)
    return t.drop(columns=["owed", "limit", "unknown"])


def obligations(at: pd.DataFrame, liabilities: pd.DataFrame) -> pd.DataFrame:
    said = ["last_payment_amount", "minimum_payment_amount", "last_statement_balance", "is_overdue"]
    dated = ~(pd.to_datetime(liabilities.balance_date) > TODAY)
    described = liabilities[["account_id", "liability_id"]].join(liabilities[said].where(dated))
    t = at.merge(described, on="account_id", how="left")
    t = t[t.account_class.isin(["credit_card", "loan"]) | t.liability_id.notna()]
    t = t.astype(dict.fromkeys(["balance", *said[:3]], "Float64") | {"is_overdue": "boolean"})  # flags of three values
    minimum_only = (
        (t.balance > 0)
        & (t.last_payment_amount > 0)
        & (t.last_payment_amount <= t.minimum_payment_amount + edition.MINIMUM_PAYMENT_SLACK * t.currency_factor)
        & (t.last_payment_amount < t.last_statement_balance)
    )
    t["minimum_only"] = minimum_only.where(t.account_class == "credit_card", False)
    owing = t.groupby("user")
    return pd.DataFrame(
        {
            "owes": owing.size(),
            "minimum_payment_only_flag": owing.minimum_only.any(skipna=False),
            "any_overdue": owing.is_overdue.any(skipna=False),
        }
    )


def subscription_sums(window: int, found: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    active = found[(found.kind == "subscription") & (found.status == "mature")]
    charged = -hits[hits.day > DAY - window].groupby("stream").amount.sum().reindex(active.index)
    start, end = (TODAY + pd.Timedelta(days=days) for days in (1 - window, edition.EXPECTED_WITHIN_DAYS))
    counted = charged.notna() | active.expected_next_date.between(start, end)
    lines = pd.DataFrame({"recurring": counted, "monthly": active.monthly_cost.where(counted, 0.0), "charged": charged})
    return lines.groupby(active.user).sum()


# --- pay --------------------------------------------------------------------------------------------------------


def pay(t: pd.DataFrame, window: int) -> pd.DataFrame:
    """One row per customer with a paycheck in the evidence."""
    days = paydays(t)
    own = days[["user", "day"]].drop_duplicates().sort_values(["user", "day"])
    own["gap"] = own.groupby("user").day.diff()
    days, own = (each[DAY - each.day < max(window, edition.EVIDENCE_DAYS)] for each in (days, own))
    days["in_window"] = days.amount.where(DAY - days.day < window, 0.0)

    payers = days.groupby(["user", "payer"]).agg(
        usual=("amount", "median"),
        total=("amount", "sum"),
        mean=("amount", "mean"),
        deviation=("amount", "std"),
        last=("day", "max"),
        in_window=("in_window", "sum"),
    )
    payers = payers.join(calendars(days, ["user", "payer"])).reset_index()
    period = payers.frequency.map(edition.PERIODS).astype("float64")  # texts where nobody is paid
    still_paid = DAY - payers["last"] <= 2 * period
    varied = payers.total.where(payers.paydays >= 2)
    sums = pd.DataFrame(
        {
            "checks": payers.paydays,
            "steady_income": (payers.usual * 30 / period).where(still_paid, 0.0),
            "other_income": payers.in_window.mask(still_paid, 0.0),
            "varied": varied,
            "variability": ratio(payers.deviation, payers["mean"]) * varied,
        }
    )
    sums = sums.groupby(payers.user).sum()
    largest = first_by(payers, ["user"], ["total", "payer"], [False, True]).set_index("user").frequency
    together = calendars(own, ["user"])
    gaps = own.assign(gap=own.gap.where(DAY - own.day < window)).groupby("user")
    open_gap = DAY - gaps.day.max()
    return pd.DataFrame(
        {
            "checks": sums.checks,
            "steady_income": sums.steady_income.round(6),
            "other_income": money(sums.other_income),
            "income_variability": ratio(sums.variability, sums.varied),
            "pay_frequency": together.frequency.mask(together.frequency == "irregular", largest.fillna("irregular")),
            "median_pay_gap_days": np.maximum(gaps.gap.median().fillna(open_gap), open_gap).where(gaps.size() >= 2),
        }
    )


def paydays(t: pd.DataFrame) -> pd.DataFrame:
    """One row per payer and day; payers who went on where another stopped, one period later, are that other."""
    paid = t[t.kind == "paycheck"].rename(columns={"payee": "payer"})
    days = paid.groupby(["user", "payer", "day"]).amount.sum().reset_index()
    each = days.assign(gap=days.groupby(["user", "payer"]).day.diff()).groupby(["user", "payer"])
    payers = each.agg(first=("day", "min"), last=("day", "max"), gap=("gap", "median"), usual=("amount", "median"))
    payers = payers.reset_index()
    linked = payers.merge(payers, on="user", suffixes=("", "_after"))
    gap = linked.first_after - linked["last"]
    linked = linked.assign(apart=gap)[
        (gap > 0)
        & ~((gap - linked.gap).abs() > linked.gap * 0.2)
        & ~((gap - linked.gap_after).abs() > linked.gap_after * 0.2)
        & (linked.gap.notna() | linked.gap_after.notna())
        & (linked.usual_after <= linked.usual * 2)
        & (linked.usual_after * 2 >= linked.usual)
    ]
    origins = first_by(linked, ["user", "payer_after"], ["apart", "payer"])
    heirs = first_by(linked, ["user", "payer"], ["apart", "payer_after"])
    heirs = linked.loc[origins.index.intersection(heirs.index), ["user", "payer", "payer_after"]]
    heirs = heirs.set_axis(["user", "origin", "payer"], axis=1)
    for _ in range(2):  # each turn doubles the length of the chains that are followed
        further = heirs.set_axis(["user", "older", "origin"], axis=1)
        heirs = heirs.merge(further, on=["user", "origin"], how="left")
        heirs = heirs.assign(origin=heirs.older.fillna(heirs.origin))[["user", "origin", "payer"]]
    days = days.merge(heirs, on=["user", "payer"], how="left")
    days["payer"] = days.origin.fillna(days.payer).astype("int64")
    days = days.groupby(["user", "payer", "day"]).amount.sum().reset_index()
    return days.assign(amount=money(days.amount))


def calendars(t: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """``paydays`` of each payer (or of all) and the ``frequency`` that three quarters of them lie on."""
    t = t.sort_values([*key, "day"], ignore_index=True)
    group = t.groupby(key).ngroup()
    place = (group * 10**6 + t.day).to_numpy()  # on one line, where groups lie too far apart to be near one another

    def beside(nearest: int, farthest: int) -> np.ndarray:
        """Whether another payday lies that many days before or after."""
        before = np.searchsorted(place, place - nearest, "right") > np.searchsorted(place, place - farthest)
        after = np.searchsorted(place, place + farthest, "right") > np.searchsorted(place, place + nearest)
        return before | after

    def off(cycle: pd.Series, length: int) -> pd.Series:
        """How far each payday lies from the usual place in the cycle, either way round."""
        often = cycle.to_frame("at").groupby([group, cycle]).size().rename("often").reset_index()
        often = often.set_axis(["group", "at", "often"], axis=1)
        usual = first_by(often, ["group"], ["often", "at"], [False, True]).set_index("group")["at"]
        apart = (cycle - group.map(usual)).abs()
        return np.minimum(apart, length - apart)

    half_month = month_position(pd.Series(dates(t.day))) % edition.HALF_MONTH
    fortnight = off(t.day % 14, 14)
    placed = pd.DataFrame(
        {
            "weekly": beside(6, 8) & (off(t.day % 7, 7) <= 1),
            "biweekly": beside(13, 15) & (fortnight <= 1),
            "to_the_day": beside(13, 15) & (fortnight == 0),
            "semi_monthly": beside(11, 19) & (off(half_month, edition.HALF_MONTH) <= 6),
            "monthly": beside(26, 35),
        }
    )
    groups = t.groupby(key).day
    shares = placed.groupby([t[name] for name in key]).mean()
    paydays, span = groups.size(), groups.last() - groups.first()
    shares["biweekly"] = shares.biweekly.where(paydays > 2, shares.to_the_day)
    sparse = (paydays - 1) * 30 * edition.ON_ONE_CALENDAR <= span + 7
    holds = [shares[name] >= edition.ON_ONE_CALENDAR for name in ("weekly", "biweekly", "semi_monthly", "monthly")]
    holds[-1] &= sparse
    frequency = pd.Series(np.select(holds, [*edition.PERIODS], "irregular"), shares.index, dtype="str")
    return pd.DataFrame({"paydays": paydays, "frequency": frequency.where(paydays >= 2)})


# --- agreement --------------------------------------------------------------------------------------------------


def agreement(ours: Path, theirs: Path) -> dict[str, float]:
    """Shares of streams, and of values of the features of both, in which two folders agree, and of the worst column."""
    tables = "recurring_streams", *(f"features_{window}d" for window in WINDOWS)
    keys = "user_id, merchant, cadence, kind, occurrences, last_date::DATE"
    streams, *both = [[f"'{folder}/{table}.parquet'" for folder in (ours, theirs)] for table in tables]
    a, b = (f"(SELECT {keys} FROM {file})" for file in streams)
    (shared,) = duckdb.sql(f"SELECT count(*) FROM ({a} INTERSECT ALL {b})").fetchone()
    found = max(duckdb.sql(f"SELECT count(*) FROM {file}").fetchone()[0] for file in streams)
    columns = []
    for a, b in both:
        theirs_too = {*duckdb.sql(f"FROM {b}").columns} - {"user_id", "as_of", "window_days"}
        names = [name for name in duckdb.sql(f"FROM {a}").columns if name in theirs_too]
        same = (
            f"avg((a.{n} IS NOT DISTINCT FROM b.{n} OR coalesce("
            f"abs(TRY_CAST(a.{n} AS DOUBLE) - TRY_CAST(b.{n} AS DOUBLE)) <= 1e-6, false))::INT)"
            for n in names
        )
        columns += duckdb.sql(f"SELECT {', '.join(same)} FROM {a} a FULL JOIN {b} b USING (user_id)").fetchone()
    return {"streams": shared / found, "feature values": sum(columns) / len(columns), "the worst column": min(columns)}

"""What the generator promises: its numbers, the consistency of its stories, and that it repeats to the byte."""

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.synthetic import Synthetic, generate, payee_pool

AS_OF = dt.date(2026, 11, 20)
CARD_PAYMENT = "LOAN_PAYMENTS_CREDIT_CARD_PAYMENT"


@pytest.fixture(scope="module")
def usual() -> Synthetic:
    return generate(as_of=AS_OF)


@pytest.fixture(scope="module")
def many() -> Synthetic:
    return generate(300, as_of=AS_OF)


def posted(made: Synthetic) -> pd.DataFrame:
    """Posted transactions with their account's subtype, balance and limit."""
    rows = made.tables["transactions"]
    accounts = made.tables["accounts"][["account_id", "subtype", "balance_current", "balance_limit"]]
    return rows[~rows["pending"]].merge(accounts, on="account_id")


def customers(made: Synthetic, persona: str) -> list[str]:
    return [user for user, truth in made.truth["users"].items() if truth["persona"] == persona]


def test_one_user_in_twenty_is_an_operator_and_no_operator_has_accounts(usual: Synthetic) -> None:
    users = usual.tables["users"]
    assert users["user_type"].value_counts().to_dict() == {"customer": 71, "operator": 4}
    operators = set(users.loc[users["user_type"] == "operator", "user_id"])
    for table in ("accounts", "transactions", "liabilities"):
        assert not operators & set(usual.tables[table]["user_id"])
    assert not operators & set(usual.truth["users"])


def test_even_two_users_are_a_customer_and_an_operator() -> None:
    assert list(generate(2, as_of=AS_OF).tables["users"]["user_type"]) == ["customer", "operator"]


@pytest.mark.parametrize(("users", "days"), [(1, 180), (75, 29), (75, 100_000)])
def test_sizes_that_make_no_sense_are_refused(users: int, days: int) -> None:
    with pytest.raises(SpendSenseError) as refused:
        generate(users, as_of=AS_OF, days=days)
    assert refused.value.code == "invalid_size"


def test_customers_have_two_to_four_accounts_and_150_to_300_transactions(many: Synthetic) -> None:
    assert set(many.tables["accounts"].groupby("user_id").size()) == {2, 3, 4}
    assert many.tables["transactions"].groupby("user_id").size().between(150, 300).all()


def test_accounts_end_in_four_digits_that_tell_a_customers_cards_apart(many: Synthetic) -> None:
    accounts = many.tables["accounts"]
    last4 = accounts["account_id"].str[-4:]
    assert last4.str.fullmatch("[0-9]{4}").all()
    assert not accounts.assign(last4=last4).duplicated(["user_id", "last4"]).any()
    assert (accounts.query("subtype == 'credit card'").groupby("user_id").size() == 2).any()
    other_seed = generate(2, seed=8, as_of=AS_OF).tables["accounts"]
    assert set(other_seed["account_id"]) & set(accounts["account_id"])


def test_transactions_grow_with_the_days() -> None:
    year = generate(60, as_of=AS_OF, days=360).tables["transactions"]
    assert year.groupby("user_id").size().between(300, 600).all()


def test_cards_are_used_from_a_tenth_to_nearly_all_of_the_limit(many: Synthetic) -> None:
    cards = many.tables["accounts"].query("subtype == 'credit card'")
    utilization = cards["balance_current"] / cards["balance_limit"]
    assert utilization.between(0.0999, 0.9501).all()
    assert utilization.min() < 0.15
    assert utilization.max() > 0.85


def test_incomes_lie_between_two_and_fifteen_thousand_a_month(many: Synthetic) -> None:
    rows = posted(many)
    regular = [
        user for user, truth in many.truth["users"].items() if truth["pay_frequency"] in ("biweekly", "semi_monthly")
    ]
    pay = rows[(rows["category_detailed"] == "INCOME_WAGES") & rows["user_id"].isin(regular)]
    monthly = pay.groupby("user_id")["amount"].sum() / 6
    assert monthly.min() > 1_800
    assert 11_000 < monthly.max() < 16_500


def test_three_in_ten_consent_and_every_persona_is_among_them(usual: Synthetic) -> None:
    users = usual.tables["users"]
    assert users["consent_status"].mean() == pytest.approx(0.3, abs=0.02)
    assert users.loc[users["consent_status"], "consent_granted_at"].notna().all()
    assert users.loc[~users["consent_status"], "consent_granted_at"].isna().all()
    consenting = {usual.truth["users"][user]["persona"] for user in users.loc[users["consent_status"], "user_id"]}
    assert consenting == {
        "high_utilization", "variable_income", "subscription_heavy", "savings_builder", "wealth_builder",
    }  # fmt: skip


def test_people_and_accounts_are_older_than_the_first_transaction(usual: Synthetic) -> None:
    first = usual.tables["transactions"]["date"].min()
    for table in ("users", "accounts"):
        created = usual.tables[table]["created_at"]
        assert created.str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()
        assert (created.str[:10] < first).all()
    granted = usual.tables["users"]["consent_granted_at"].dropna()
    assert (granted.str[:10] < AS_OF.isoformat()).all()


def test_money_out_is_negative_and_money_in_positive(usual: Synthetic) -> None:
    rows = usual.tables["transactions"]
    assert (rows["amount"] != 0).all()
    assert (rows.loc[rows["category_primary"].isin(["INCOME", "TRANSFER_IN"]), "amount"] > 0).all()
    out = ["RENT_AND_UTILITIES", "TRANSFER_OUT", "BANK_FEES", "FOOD_AND_DRINK", "TRANSPORTATION"]
    assert (rows.loc[rows["category_primary"].isin(out), "amount"] < 0).all()


def test_every_row_names_an_account_of_its_customer_and_ids_are_unique(usual: Synthetic) -> None:
    accounts = usual.tables["accounts"].set_index("account_id")["user_id"]
    for table, key in (("transactions", "transaction_id"), ("liabilities", "liability_id")):
        rows = usual.tables[table]
        assert rows[key].is_unique
        assert (rows["account_id"].map(accounts) == rows["user_id"]).all()
    assert usual.tables["accounts"]["account_id"].is_unique
    assert usual.tables["users"]["email"].is_unique


def test_own_movements_have_two_legs_that_cancel(usual: Synthetic) -> None:
    rows = posted(usual)
    moves = {
        CARD_PAYMENT: "card",
        "TRANSFER_OUT_SAVINGS": "savings",
        "TRANSFER_IN_SAVINGS": "savings",
        "TRANSFER_OUT_INVESTMENT_AND_RETIREMENT_FUNDS": "invest",
        "TRANSFER_IN_INVESTMENT_AND_RETIREMENT_FUNDS": "invest",
    }
    own = rows.assign(move=rows["category_detailed"].map(moves)).dropna(subset="move")
    assert set(own["move"]) == {"card", "savings", "invest"}
    assert (own.groupby(["user_id", "date", "move"])["amount"].sum().abs() < 0.005).all()
    assert (own.loc[own["amount"] < 0, "subtype"] == "checking").all()


def test_only_the_last_two_days_are_pending(usual: Synthetic) -> None:
    rows = usual.tables["transactions"]
    waiting = rows[rows["pending"]]
    assert len(waiting) > 0
    assert (waiting["date"] >= (AS_OF - dt.timedelta(days=1)).isoformat()).all()


def test_accounts_of_the_careful_never_ran_dry(many: Synthetic) -> None:
    rows = posted(many).query("subtype == 'checking'").sort_values(["date", "amount"], ascending=[True, False])
    by_account = rows.groupby("account_id")["amount"]
    balance = rows["balance_current"] - by_account.transform("sum") + by_account.cumsum()
    careful = rows["user_id"].isin(customers(many, "savings_builder") + customers(many, "wealth_builder"))
    assert (balance[careful] >= 0).all()


def test_an_overdraft_fee_is_charged_only_where_the_balance_is_below_zero(many: Synthetic) -> None:
    rows = posted(many).query("subtype == 'checking'").sort_values(["date", "amount"], ascending=[True, False])
    by_account = rows.groupby("account_id")["amount"]
    balance = rows["balance_current"] - by_account.transform("sum") + by_account.cumsum()
    at_night = balance.groupby([rows["account_id"], rows["date"]]).min()
    fees = rows[rows["category_detailed"] == "BANK_FEES_OVERDRAFT_FEES"]
    assert len(fees) > 0
    assert (at_night.loc[list(zip(fees["account_id"], fees["date"], strict=True))] < 0).all()


def test_savings_grew_by_what_was_put_aside(usual: Synthetic) -> None:
    rows = posted(usual).query("subtype == 'savings'")
    before = rows.groupby("account_id")["balance_current"].first() - rows.groupby("account_id")["amount"].sum()
    assert (before > 0).all()


def test_cards_owed_something_sensible_before_the_first_row(usual: Synthetic) -> None:
    rows = posted(usual).query("subtype == 'credit card'")
    of_card = rows.groupby("account_id")
    before = of_card["balance_current"].first() + of_card["amount"].sum()
    assert before.between(-1, of_card["balance_limit"].first() * 1.1).all()


def test_those_who_clear_their_card_paid_their_statements_and_no_interest(usual: Synthetic) -> None:
    rows = posted(usual).query("subtype == 'credit card'")
    debtors = customers(usual, "high_utilization")
    interest = rows[rows["category_detailed"] == "BANK_FEES_INTEREST_CHARGE"]
    assert set(interest["user_id"]) == set(debtors)
    cards = usual.tables["liabilities"].query("liability_type == 'credit_card'")
    others = cards[~cards["user_id"].isin(debtors)]
    assert (others["last_payment_amount"] > others["minimum_payment_amount"] + 5).all()


def test_liabilities_say_the_last_payment_that_the_rows_show(usual: Synthetic) -> None:
    rows = posted(usual).query("subtype == 'credit card' and category_detailed == @CARD_PAYMENT")
    newest = rows.sort_values("date").groupby("account_id")["amount"].last()
    stated = usual.tables["liabilities"].set_index("account_id")["last_payment_amount"]
    pd.testing.assert_series_equal(newest, stated.loc[newest.index], check_names=False)


def test_few_are_overdue_and_then_the_due_date_has_passed(many: Synthetic) -> None:
    liabilities = many.tables["liabilities"]
    late = liabilities["is_overdue"]
    assert 0 < late.mean() < 0.15
    past = liabilities["next_payment_due_date"] <= (AS_OF + dt.timedelta(days=2)).isoformat()
    assert past[late].all()
    assert (liabilities.loc[~late, "next_payment_due_date"] > AS_OF.isoformat()).all()


def streams(made: Synthetic) -> pd.DataFrame:
    """All streams of the truth, one a row."""
    return pd.DataFrame(
        [{"user_id": user, **stream} for user, truth in made.truth["users"].items() for stream in truth["streams"]]
    )


@pytest.mark.parametrize("days", [180, 800])
def test_every_stream_of_the_truth_occurs_in_the_rows_on_its_calendar(days: int) -> None:
    made = generate(75, as_of=AS_OF, days=days)
    rows = made.tables["transactions"]
    truth = streams(made)
    expected = {"weekly": 7, "biweekly": 14, "semi_monthly": 15.2, "monthly": 30.4, "quarterly": 91.3, "annual": 365}
    assert set(truth["cadence"]) == (set(expected) if days == 800 else set(expected) - {"quarterly", "annual"})
    found = truth.merge(
        rows, left_on=["user_id", "merchant"], right_on=["user_id", "merchant_name"], suffixes=("_planted", "")
    )
    found["day"] = pd.to_datetime(found["date"])
    for (_, _, cadence, planted), hits in found.groupby(["user_id", "merchant", "cadence", "amount_planted"]):
        assert len(hits) >= (2 if cadence == "annual" else 3)
        assert hits["amount"].median() == pytest.approx(planted, rel=0.2)
        assert hits["day"].sort_values().diff().dt.days.median() == pytest.approx(expected[cadence], rel=0.2)
    assert len(found.groupby(["user_id", "merchant", "cadence"])) == len(truth)


def test_paydays_keep_their_calendar_and_avoid_weekends(usual: Synthetic) -> None:
    rows = posted(usual)
    pay = rows[rows["category_detailed"] == "INCOME_WAGES"].assign(day=pd.to_datetime(rows["date"]))
    pay["frequency"] = pay["user_id"].map(lambda user: usual.truth["users"][user]["pay_frequency"])
    assert set(pay["frequency"]) == {"weekly", "biweekly", "semi_monthly", "monthly", "irregular"}
    assert (pay["day"].dt.weekday < 5).all()
    on_fridays = pay[pay["frequency"].isin(["weekly", "biweekly"])]
    assert (on_fridays["day"].dt.weekday == 4).all()
    twice = pay[pay["frequency"] == "semi_monthly"]["day"]
    last = twice + pd.offsets.BMonthEnd(0)
    middle = pd.to_datetime(twice.dt.strftime("%Y-%m-15"))
    middle -= pd.to_timedelta((middle.dt.weekday - 4).clip(lower=0), unit="D")
    assert ((twice == last) | (twice == middle)).all()


def measured(made: Synthetic, window: int) -> pd.DataFrame:
    """A plain reading of what the personas are about, straight from the rows; no code of the pipeline."""
    rows = posted(made).assign(day=lambda frame: pd.to_datetime(frame["date"]).dt.date)
    recent = rows[rows["day"] > AS_OF - dt.timedelta(days=window)]
    category = recent["category_detailed"]
    own = (category == CARD_PAYMENT) | category.str.contains("_SAVINGS|_INVESTMENT_AND")
    spending = recent[
        ~own & (recent["category_primary"] != "INCOME") & ~recent["subtype"].isin(["savings", "brokerage"])
    ]
    seen = pd.DataFrame(index=list(made.truth["users"]))
    months = window / 30
    accounts = made.tables["accounts"]
    balance = accounts.pivot_table(index="user_id", columns="subtype", values="balance_current", aggfunc="sum")
    seen["spent"] = -spending.groupby("user_id")["amount"].sum() / months
    seen["buffer"] = balance["checking"] / seen["spent"]
    seen["savings"] = balance["savings"]
    seen["saved"] = recent[recent["subtype"] == "savings"].groupby("user_id")["amount"].sum() / months
    seen["growth"] = seen["saved"] * months / (seen["savings"] - seen["saved"] * months)
    cards = accounts[accounts["subtype"] == "credit card"]
    seen["utilization"] = (cards["balance_current"] / cards["balance_limit"]).groupby(cards["user_id"]).max()
    pay = rows[rows["category_detailed"].isin(["INCOME_WAGES", "INCOME_GIG_ECONOMY"])]
    seen["income"] = pay.groupby("user_id")["amount"].sum() / 6
    payer = pay.groupby(["user_id", "merchant_name"])["amount"].agg(["mean", "std", "sum", "size"])
    largest = payer.query("size >= 2").sort_values("sum").groupby("user_id").last()
    seen["variability"] = largest["std"] / largest["mean"]
    planted = streams(made).query("kind == 'subscription' and cadence == 'monthly'")
    seen["subscriptions"] = planted.groupby("user_id").size()
    seen["subscribed"] = -planted.groupby("user_id")["amount"].sum()
    seen["fees"] = rows[rows["merchant_name"].str.endswith(" Fee")].groupby("user_id").size()
    return seen.assign(persona=[made.truth["users"][user]["persona"] for user in seen.index])


@pytest.mark.parametrize("window", [30, 180])
def test_each_persona_lives_as_its_definition_says_and_not_as_a_stronger_one(many: Synthetic, window: int) -> None:
    seen = dict(iter(measured(many, window).groupby("persona")))
    credit, freelance = seen["high_utilization"], seen["variable_income"]
    subscribed, saving, wealthy = seen["subscription_heavy"], seen["savings_builder"], seen["wealth_builder"]
    assert (credit["utilization"] >= 0.5).all()
    assert (credit["income"] < 10_000).all()
    assert ((freelance["variability"] >= 0.3) & (freelance["buffer"] < 1)).all()
    assert ((saving["saved"] >= 200) & (saving["utilization"].fillna(0) < 0.3)).all()
    assert ((wealthy["income"] > 10_000) & (wealthy["savings"] > 25_000)).all()
    assert (wealthy["utilization"].fillna(0) <= 0.2).all()
    assert wealthy["fees"].isna().all()
    assert ((subscribed["subscriptions"] >= 3) & (subscribed["subscribed"] >= 50)).all()
    for weaker in (freelance, subscribed):
        assert (weaker["utilization"].fillna(0) < 0.3).all()
        assert ((weaker["saved"].fillna(0) < 200) & (weaker["growth"].fillna(0) < 0.02 * window / 30)).all()
    assert (subscribed["variability"] < 0.3).all()


def test_the_same_seed_makes_the_same_customers_and_another_seed_others(usual: Synthetic) -> None:
    again = generate(as_of=AS_OF)
    for name, table in usual.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name])
    assert usual.truth == again.truth
    other = generate(seed=8, as_of=AS_OF)
    assert not other.tables["transactions"]["amount"].head(500).equals(usual.tables["transactions"]["amount"].head(500))
    assert other.truth != usual.truth


def test_a_customer_is_the_same_whatever_the_number_of_users(usual: Synthetic, many: Synthetic) -> None:
    for name, table in usual.tables.items():
        mine = table[table["user_id"].isin(usual.truth["users"])].reset_index(drop=True)
        more = many.tables[name]
        same = more[more["user_id"].isin(usual.truth["users"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, same)


@pytest.fixture(scope="module")
def hard() -> Synthetic:
    return generate(as_of=AS_OF, days=420, hard=True)


def one_service(made: Synthetic) -> Any:
    """Charges of all subscriptions, by customer and the payee that every spelling contains."""
    rows = made.tables["transactions"].query("amount < 0 and not pending").sort_values("date")
    services = [payee.name.upper() for group in ("gyms", "monthly services") for payee in payee_pool.payees(group)]
    payee = rows["merchant_name"].str.upper().str.extract("(" + "|".join(services) + ")", expand=False)
    return rows.assign(payee=payee).dropna(subset="payee").groupby(["user_id", "payee"])


def test_hard_customers_have_prices_that_changed_once(usual: Synthetic, hard: Synthetic) -> None:
    assert (one_service(usual)["amount"].nunique() == 1).all()
    charges = one_service(hard)["amount"]
    risen = charges.filter(lambda amounts: amounts.nunique() > 1).index
    prices = one_service(hard)["amount"].nunique()
    assert (prices <= 2).all()
    assert 0.15 < (prices == 2).mean() < 0.45
    assert len(risen) > 0
    step = (charges.last() / charges.first())[prices == 2]
    rise, cheaper, introduced = step.between(1.02, 1.27), step < 1, step > 1.27
    assert rise.mean() > 0.4  # most went up a little; others took another plan, or had begun with an offer
    assert cheaper.any()
    assert introduced.any()


def test_hard_payees_are_spelled_in_several_ways_and_lose_ids(usual: Synthetic, hard: Synthetic) -> None:
    clean = {payee.name for payee in payee_pool.ALL}
    assert set(usual.tables["transactions"]["merchant_name"]) <= clean
    messy = hard.tables["transactions"]["merchant_name"]
    assert (~messy.isin(clean)).mean() > 0.4
    assert messy.str.startswith(("PAYPAL *", "SQ *")).any()
    known = hard.tables["transactions"].query("category_primary == 'FOOD_AND_DRINK'")["merchant_entity_id"]
    assert 0.2 < known.isna().mean() < 0.4


def test_hard_dates_drift_and_months_are_missing(usual: Synthetic, hard: Synthetic) -> None:
    def steps(made: Synthetic) -> pd.Series:
        days = one_service(made)["date"].apply(lambda dates: pd.to_datetime(dates).diff().dt.days.dropna())
        return days.astype(int)

    assert set(steps(usual)) <= {30, 31}
    assert set(steps(hard)) > {28, 29, 32, 33}
    assert (steps(hard) > 50).any()


def test_hard_groceries_come_every_week_at_the_same_shop_for_different_amounts(hard: Synthetic) -> None:
    rows = posted(hard).query("category_detailed == 'FOOD_AND_DRINK_GROCERIES'")
    rows = rows.assign(day=pd.to_datetime(rows["date"]))
    assert (rows.groupby("user_id")["day"].apply(lambda days: days.dt.weekday.nunique()) == 1).all()
    spread = rows.groupby("user_id")["amount"].agg(lambda amounts: np.std(amounts) / abs(np.mean(amounts)))
    assert (spread > 0.15).all()

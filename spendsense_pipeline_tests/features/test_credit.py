"""Cards on the day, as texts and operators name them."""

import datetime as dt

from spendsense_pipeline.features.credit import cards_at
from spendsense_pipeline_tests.features.ledger import AS_OF, Ledger


def test_each_card_comes_with_its_balance_of_the_day_and_the_rate_known_by_then() -> None:
    ledger = Ledger()
    checking, *_ = ledger.customer("ann", "checking", "credit card", "credit card")
    ledger.rows["accounts"][1] |= {"account_id": "ann/card/4821", "balance_current": 300.0, "balance_limit": 1000.0}
    ledger.rows["accounts"][2] |= {"account_id": "ann/card/0937", "balance_current": 50.0, "balance_limit": None}
    ledger.liability("ann/card/4821", liability_type="credit_card", apr_purchase=21.9)
    ledger.liability("ann/card/0937", apr_purchase=26.4, balance_date=AS_OF + dt.timedelta(days=1))
    ledger.row(checking, 3, -10.0, "Shop")
    tables = ledger.tables()
    found = cards_at(*(tables[name] for name in ("transactions", "accounts", "liabilities", "users")), AS_OF)
    assert found.order_by("last4").to_pyarrow().to_pylist() == [
        {"user_id": "ann", "last4": "0937", "balance": 50.0, "credit_limit": None, "utilization": None, "apr": None},
        {"user_id": "ann", "last4": "4821", "balance": 300.0, "credit_limit": 1000.0, "utilization": 0.3, "apr": 21.9},
    ]

"""The contract of the payees of a day."""

import pandas as pd
import pandera.pandas as frame
from pandera.engines.pandas_engine import Date

from spendsense_pipeline.contracts.base import FrameContract, described


class Payees(FrameContract):
    """One row per normalised name and what was delivered with it; no customer is in it."""

    as_of: Date = described(frame, "day: rows up to it were read")
    name: str = described(frame, "the payee's normalised name, which its spellings share")
    display: str = described(frame, "the name as a reader sees it")
    category_primary: str = described(frame, "category as delivered", null="none, or a rare name of no vocabulary")
    category_detailed: str = described(
        frame, "detailed category as delivered", null="none, or a rare name of no vocabulary"
    )
    mcc: str = described(frame, "merchant category code as delivered", null="none")
    transaction_code: str = described(frame, "code as delivered", null="none, or a rare one of no vocabulary")
    category: str = described(frame, "what for, in Plaid's names", null="unknown")
    category_source: str = described(
        frame,
        "who said so",
        null="category unknown",
        isin=["category", "mcc", "code", "house", "known_payee", "population", "model", "words"],
    )
    counterparty: str = described(
        frame, "who it is", null="unknown", isin=["merchant", "person", "employer", "state", "own", "bank"]
    )
    service: str = described(
        frame,
        "what the table of known payees or the house says beyond the category",
        null="nothing",
        isin=[
            *("subscription", "bill", "gig", "cash_advance", "brokerage", "peer", "instalments", "shared_biller"),
            "habit",
        ],
    )
    list_priced: pd.BooleanDtype = described(
        frame, "customers pay one of a few prices, each on a calendar", null="seen at fewer than 5 customers"
    )
    own_priced: pd.BooleanDtype = described(
        frame, "nearly every customer has a fixed amount of his own", null="seen at fewer than 5 customers"
    )
    population_category: str = described(
        frame, "category that other rows of the name have, or that a model gave", null="none"
    )
    population_source: str = described(frame, "which of the two", null="none", isin=["population", "model"])
    rows: pd.Int64Dtype = described(frame, "transactions", "rows", ge=1)
    customers: pd.Int64Dtype = described(frame, "customers who have them", "customers", null="fewer than 5", ge=5)

    class Config:
        strict = True
        unique = ["name", "category_primary", "category_detailed", "mcc", "transaction_code"]

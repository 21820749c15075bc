"""Arrow columns as the numbers that signals are computed from.

What does not belong here: what any number means.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.payees.readings import DESCRIPTOR

Array = npt.NDArray[Any]
READ = {
    "transactions": (
        *("transaction_id", "account_id", "user_id", "date", "amount", "pending"),
        *("merchant_entity_id", *DESCRIPTOR),
    ),
    "accounts": (
        *("account_id", "user_id", "type", "subtype", "iso_currency_code", "created_at"),
        *("balance_available", "balance_current", "balance_limit", "balance_date", "closed_at", "holders"),
    ),
    "liabilities": (
        *("liability_id", "account_id", "user_id", "balance_date", "is_overdue", "apr_purchase"),
        *("last_payment_amount", "minimum_payment_amount", "last_statement_balance", "next_payment_due_date"),
        *("interest_rate", "liability_type"),
    ),
    "users": ("user_id", "user_type", "created_at"),
}
"""What is read of the canonical tables."""


class Coded(NamedTuple):
    """A column of texts as numbers and the distinct texts; no text is -1."""

    codes: Array
    texts: pa.Array


def coded(column: pa.ChunkedArray) -> Coded:
    """The texts of a column, numbered."""
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type)
    codes = pc.fill_null(whole.indices, -1) if whole.indices.null_count else whole.indices
    return Coded(codes.to_numpy(zero_copy_only=False).astype("i8"), whole.dictionary.cast(pa.string()))


def plain_texts(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Texts in one array, whether they come as dictionaries or not."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    return whole if whole.type == pa.string() else whole.cast(pa.string())


def places(column: pa.ChunkedArray | pa.Array, among: pa.Array) -> Array:
    """Where each text stands among others, -1 where it does not."""
    if pa.types.is_dictionary(column.type):
        texts = coded(column)
        return np.append(places(texts.texts, among), -1)[texts.codes]
    found = pc.fill_null(pc.index_in(plain_texts(column), value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype("i8")


def days(column: pa.ChunkedArray, missing: int = 0) -> Array:
    """Dates or UTC times as days since 1970, null as ``missing``."""
    dates = column if pa.types.is_date32(column.type) else pc.cast(column, pa.date32(), safe=False)
    return np.asarray(pc.fill_null(dates.cast(pa.int32()), missing).to_numpy()).astype("i8")


def doubles(column: pa.ChunkedArray) -> Array:
    """Numbers or flags as floats, null as NaN."""
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    return np.asarray(pc.cast(column, pa.float64()).to_numpy())


def runs(first: Array, times: Array) -> tuple[Array, Array]:
    """Of runs that begin at ``first`` and have so many places each: by place the number of its run, and the place."""
    of = np.repeat(np.arange(len(times)), times)
    return of, np.arange(len(of)) + np.repeat(first - np.cumsum(times) + times, times)

"""From raw rows to the canonical tables: every row is accepted, an identical duplicate, or rejected with its reasons.

Judging looks at the raw rows of *all* batches at once and orders them by arrival, so the result is the same
whatever order batches were materialised in. A malformed value rejects its row even where null would be allowed:
nulling it would turn a mistake into "unknown" without a word. Nothing good is lost with something bad: a row is
judged by itself, by the accepted rows it refers to, and by the rows of its own id.

An account that is delivered under several customers has several holders: it has a row for each of them, and so has
everything that belongs to it, so that one customer's rows are complete by themselves. A transaction or a liability is
the account's, under whichever holder it is delivered: the newest accepted row of an id stands for all holders, and a
removal or a posting takes the row from all of them. Of an account itself each holder's row stands by itself.

What does not belong here: reading files (`landing.py`), what a field may hold (`fields.py`), and what account
types or categories mean (``features/``).

A *judged* table has the columns of the table's contract, its key first, then ``file`` ``row`` ``arrival``
``page`` ``reasons`` (array of codes, empty when valid) ``field`` and ``value`` (first offence; masked where personal)
``outcome`` (`OUTCOMES`), ``alone`` (no other row has its id) and ``co_holders`` (array of the further customers whose
row it is; null where there are none).

Rows that several steps read are handed to a `Keep`, with a name for them: by default they are a named step of one
query; whoever has more rows than memory puts them aside.
"""

import functools
import operator
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.ingest.fields import COUNTRIES, FIELDS, HELD, LIST_LENGTH, Field, key, names
from spendsense_pipeline.ingest.files import LandedFile

OUTCOMES = ("accepted", "duplicate", "rejected")
JUDGEMENT = ("file", "row", "arrival", "page", "reasons", "field", "value", "outcome", "alone", "co_holders")
SPENT = ("pending_transaction_id", "removed")  # said what becomes of rows, and are in no contract

REASONS: dict[str, str] = tomllib.loads(Path(__file__).with_name("reasons.toml").read_text(encoding="utf-8"))
"""Why a row may be rejected, and what would be right."""

CIRCLE = 2
"""Postings that lead on for 2 ** 2 steps count as a circle: no bank posts one payment so often."""
ID_LENGTH = 256
VALUE_LENGTH = 200
MASK = "***"
# Catches a wrong year, and lets through a source that is a day ahead of UTC.
TOLERATED_DAYS = 1
_DATE, _AMOUNT = (CONTRACTS["transactions"].columns[name].checks for name in ("date", "amount"))
EARLIEST, LARGEST = _DATE["ge"], _AMOUNT["in_range"][1]
CONTROL = "[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F\u0080-\u009f]"
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NOT_FINITE = r"(?i)^[+-]?(nan|inf|infinity)$"
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?"
OFFSET = r"((0[0-9]|1[0-3])(:?[0-5][0-9])?|14(:?00)?)"  # hours from UTC: no place is further than 14
DATE = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{CLOCK} ?(Z|[+-]{OFFSET})?)?$"
PLAIN_ID = r"^[A-Za-z0-9._:/#+=-]+$"
FORMS = {
    "email": (r"^[^@\s<>,;]{1,64}@[^@\s<>,;]{1,190}\.[^@\s<>,;.]{1,63}$", "not_an_email"),
    "currency": (r"^[A-Z]{3}$", "not_a_currency"),
    "language": (r"^[a-z]{2}(-[A-Za-z0-9]{2,8})*$", "not_a_language"),
    "mcc": (r"^[0-9]{4}$", "not_an_mcc"),
    "link": (r"^https://[^\s]+$", "not_a_link"),
}
"""What texts of these kinds look like, and what is wrong with others."""
MOMENT = "timestamp('UTC', 6)"
SEPARATOR = ";"
NOBODY = ibis.literal([], type="array<string>")

Keep = Callable[[ibis.Table, str], ibis.Table]


# --- The five tables ---


def in_memory(rows: ibis.Table, _: str) -> ibis.Table:
    """A `Keep` of the engine's memory, for rows that fit into it."""
    return rows.cache()


def judge(raw: Mapping[str, ibis.Table], keep: Keep = in_memory) -> dict[str, ibis.Table]:
    """Judge the rows of all batches, each table against the accepted rows of those it refers to; products if any."""
    newest = keep(newest_dates(raw["transactions"]), "newest_dates")
    users = _judged("users", _read("users", raw["users"]), keep)
    accounts = judge_accounts(raw["accounts"], accepted(users), newest, keep)
    held = keep(holders(accounts), "holders")
    judged = {
        "users": users,
        "accounts": accounts,
        "transactions": judge_transactions(raw["transactions"], held, keep),
        "liabilities": judge_liabilities(raw["liabilities"], held, newest, keep),
    }
    return judged | ({"products": judge_products(raw["products"], keep)} if "products" in raw else {})


def judge_accounts(raw: ibis.Table, users: ibis.Table, newest: ibis.Table, keep: Keep) -> ibis.Table:
    """Judge the accounts of all batches against the accepted users.

    A balance without a date is of the `newest_dates` transaction of its batch, or of its arrival without one.
    """
    rows = _dated(_read("accounts", raw), newest)
    people = users.select(known_user="user_id")
    rows = rows.left_join(people, rows.user_id == people.known_user)
    unknown = (rows.user_id.notnull() & rows.known_user.isnull()).ifelse("unknown_user", _none())
    return _judged("accounts", rows, keep, {"user_id": unknown})


def judge_transactions(raw: ibis.Table, held: ibis.Table, keep: Keep) -> ibis.Table:
    """Judge the transactions of all batches against the `holders` of accounts; a missing user is one of them.

    A row that says `removed` needs its id and nothing else.
    """
    rows, references = _held_by(_read("transactions", raw), held)
    spared = [field.name for field in FIELDS["transactions"][1:] if field.name != "removed"]
    why = {f"why_{name}": rows.removed.fill_null(False).ifelse(_none(), rows[f"why_{name}"]) for name in spared}
    references = {name: rows.removed.fill_null(False).ifelse(_none(), reason) for name, reason in references.items()}
    return _judged("transactions", rows.mutate(**why), keep, references)


def judge_liabilities(raw: ibis.Table, held: ibis.Table, newest: ibis.Table, keep: Keep) -> ibis.Table:
    """Judge the liabilities of all batches against the `holders` of accounts; dates and users as for the others."""
    rows, references = _held_by(_dated(_read("liabilities", raw), newest), held)
    return _judged("liabilities", rows, keep, references)


def judge_products(raw: ibis.Table, keep: Keep = ibis.Table.alias) -> ibis.Table:
    """Judge the products of all batches. What is advertised in the United States says what the law asks for; whose
    review is not dated was looked at when it arrived."""
    rows = _read("products", raw)
    rows = rows.mutate(reviewed_on=rows.text_reviewed_on.isnull().ifelse(rows.arrived_on, rows.reviewed_on))
    said = (rows.typical_apy_or_fee.fill_null("") + " " + rows.disclosure.fill_null("")).lower()
    there = rows.country.isnull() | (rows.country == "US")
    invests = (rows.category.lower() == "investing") | (rows.product_type == "robo_advisor")
    unsaid = ibis.cases(
        (there & invests & ~said.contains("not fdic insured"), "investment_without_warning"),
        (there & said.re_search(r"\bapy\b") & ~said.contains("annual percentage yield"), "apy_without_its_name"),
    )
    return _judged("products", rows.mutate(why_disclosure=rows.why_disclosure.coalesce(unsaid)), keep)


def holders(judged_accounts: ibis.Table) -> ibis.Table:
    """Who holds each accepted account: ``held_account``, ``holder`` (the first by id), ``co_holders``, ``claimants``.

    ``co_holders`` are the other holders. ``claimants`` are all under whom the account was delivered, also those whose
    own row was rejected: what is delivered under them belongs to the account all the same. Both are arrays, null where
    the account is of one customer.
    """
    pairs = ("account_id", "user_id")
    claimed = judged_accounts.filter(_.account_id.notnull() & _.user_id.notnull()).select(*pairs).distinct()
    standing = judged_accounts.filter(_.outcome == "accepted").select(*pairs).distinct().mutate(holds=True)
    claimed = claimed.left_join(standing, pairs).select(*pairs, holds=_.holds.fill_null(False))
    grouped = claimed.group_by(held_account="account_id").aggregate(
        holder=_.user_id.min(where=_.holds),
        co_holders=_.user_id.collect(where=_.holds, order_by=_.user_id),
        claimants=_.user_id.collect(order_by=_.user_id),
    )
    found = grouped.filter(_.holder.notnull())
    several = found.co_holders.length() > 1
    return found.mutate(
        co_holders=several.ifelse(found.co_holders[1:], ibis.null("array<string>")),
        claimants=(found.claimants.length() > 1).ifelse(found.claimants, ibis.null("array<string>")),
    )


def newest_dates(raw_transactions: ibis.Table) -> ibis.Table:
    """``dated_batch, newest``: of each batch the date of its newest transaction, by valid dates."""
    dates = _read("transactions", raw_transactions, only=("date",))
    valid = dates.filter(dates.why_date.isnull())
    return valid.group_by(dated_batch="batch").aggregate(newest=valid.date.max())


def catalogue(products_json: Path, con: Backend) -> ibis.Table:
    """The raw rows of the catalogue that ships, as batch ``catalogue``; judged while no batch has brought products."""
    landed = LandedFile("products", products_json, "json", products_json.name)
    return landing.read_files(con, [landed], "products", batch_id="catalogue", arrival=1, arrived_on=EARLIEST)


# --- What follows from a judgement ---


def accepted(judged: ibis.Table, *, takes: bool = True) -> ibis.Table:
    """The table of the contract: of each id the newest accepted row, once for each holder of its account.

    A user's row that says nothing but the id corrects nothing: Plaid only names its customers. Of transactions those
    are left out that another row takes away; where none does, `takes` spares the search.
    """
    table = _table(judged)
    ranked = _ranked(judged)
    standing = _newest(ranked)
    if table == "transactions":
        standing = (standing.anti_join(_gone(ranked), "transaction_id") if takes else standing).drop(*SPENT)
    standing = standing.drop(*(name for name in JUDGEMENT if name != "co_holders"), "place")
    if table in HELD:
        holders = ibis.array([standing.user_id]).concat(standing.co_holders.fill_null(NOBODY))
        standing = standing.mutate(user_id=holders.unnest())
    if table == "accounts":
        standing = standing.mutate(holders=standing.user_id.count().over(group_by="account_id"))
    return standing.drop("co_holders")


def taking(judged_transactions: ibis.Table) -> ibis.Table:
    """The rows that say something of another: removals, and postings of what was pending."""
    return judged_transactions.filter(_.removed | _.pending_transaction_id.notnull())


def superseded(judged_transactions: ibis.Table) -> ibis.Table:
    """One row per batch and file: ``superseded`` accepted transactions that rows of the file took away."""
    gone = _gone(_ranked(judged_transactions))
    first = ibis.row_number().over(group_by="transaction_id", order_by=["arrival", "file"]) == 0
    return gone.filter(first).group_by("batch", "file").aggregate(superseded=_.count())


def _table(judged: ibis.Table) -> str:
    (table,) = (table for table in FIELDS if names(table)[0] == judged.columns[0])
    return table


def _ranked(judged: ibis.Table) -> ibis.Table:
    """The accepted rows with their ``place`` among those of their id, 0 the newest."""
    table = _table(judged)
    standing = judged.filter(judged.outcome == "accepted")
    telling = names("users")[1:] if table == "users" else key(table)
    told = ibis.or_(*(standing[name].notnull() for name in telling))
    order = [ibis.desc(told), *(ibis.desc(standing[name]) for name in ("arrival", "page", "file", "row"))]
    place = ibis.row_number().over(group_by=key(table), order_by=order)
    alone = standing.filter(standing.alone).mutate(place=ibis.literal(0, type="int64"))
    return alone.union(standing.filter(~standing.alone).mutate(place=place))


def _newest(ranked: ibis.Table) -> ibis.Table:
    """Of each id the newest row that does not say `removed`."""
    table = _table(ranked)
    if table != "transactions":
        return ranked.filter(ranked.place == 0)
    kept = ranked.filter(~ranked.removed)
    first = kept.filter(~kept.alone).filter(ibis.row_number().over(group_by=key(table), order_by="place") == 0)
    return kept.filter(kept.alone).union(first)


def _gone(ranked: ibis.Table) -> ibis.Table:
    """``transaction_id`` of each transaction that another row takes away; that row's ``batch``, ``arrival``, ``file``.

    A later row of its id that says `removed` does, if it names no other account and nobody who does not hold it; and a
    posted row of its account that names it as pending. Where postings lead in a circle nobody can tell which was there
    first: they take nothing.
    """
    by = ("batch", "arrival", "file")
    standing = _newest(ranked)
    found = standing.select("transaction_id", own=_.account_id, holder=_.user_id, others=_.co_holders, stands=_.place)
    removed = ranked.filter(ranked.removed & ~ranked.alone).join(found, "transaction_id")
    its_own = (removed.account_id == removed.own).fill_null(True) & (
        (removed.user_id == removed.holder) | removed.others.contains(removed.user_id)
    ).fill_null(removed.user_id.isnull())
    removed = removed.filter((removed.place < removed.stands) & its_own).select("transaction_id", *by)
    posted = standing.filter(standing.pending_transaction_id != standing.transaction_id).select(
        *by, posted_id="transaction_id", transaction_id="pending_transaction_id", own="account_id"
    )
    posted = posted.semi_join(standing.select("transaction_id", own="account_id"), ["transaction_id", "own"])
    # What a posting leads to in 2, 4, … 2 ** CIRCLE steps: nothing, unless they lead in a circle.
    leads = posted.select("posted_id", to="transaction_id")
    for _step in range(CIRCLE):
        further = leads.select(via="posted_id", end="to")
        leads = leads.join(further, leads.to == further.via).select("posted_id", to="end")
    return removed.union(posted.anti_join(leads, "posted_id").select("transaction_id", *by))


def quarantined(judged_by_table: Mapping[str, ibis.Table]) -> ibis.Table:
    """Every rejected row of the judged tables: contract ``quarantined_rows``."""
    kept_out = [
        judged.filter(judged.outcome == "rejected").select(
            "batch",
            ibis.literal(table).name("table"),
            "file",
            "row",
            "field",
            "value",
            (ibis.literal('["') + judged.reasons.join('","') + '"]').name("reasons"),
        )
        for table, judged in judged_by_table.items()
    ]
    return ibis.union(*kept_out) if len(kept_out) > 1 else kept_out[0]


def tally(judged: ibis.Table) -> ibis.Table:
    """One row per batch and file: ``read`` and what became of the rows; read = accepted + duplicate + rejected."""
    counts = {outcome: judged.count(where=judged.outcome == outcome) for outcome in OUTCOMES}
    return judged.group_by("batch", "arrival", "file").aggregate(read=judged.count(), **counts)


def reasons(judged: ibis.Table) -> ibis.Table:
    """One row per batch and reason: ``rejected`` rows that have it. A row with two reasons stands under both."""
    told = judged.select("batch", reason=judged.reasons.unnest())
    return told.group_by("batch", "reason").aggregate(rejected=told.count())


# --- One row: its fields ---


def text_of(raw: ibis.Table, name: str) -> ibis.Column:
    """A field of raw rows: blanks around a value are no content, and an empty text says as much as null."""
    return raw[name].strip().nullif("") if name in raw.columns else _none()


def _read(table: str, raw: ibis.Table, only: tuple[str, ...] = ()) -> ibis.Table:
    """Each known field (or those of ``only``) as text (``text_<field>``), typed (``<field>``), and what is wrong with
    it (``why_<field>``)."""
    fields = [field for field in FIELDS[table] if not only or field.name in only]
    texts = raw.select(
        "batch",
        "file",
        "row",
        "arrival",
        "page",
        "arrived_on",
        **{f"text_{f.name}": text_of(raw, f.name) for f in fields},
    )
    values = {f.name: _value(f, texts[f"text_{f.name}"]) for f in fields}
    why = {f"why_{f.name}": _why(f, texts[f"text_{f.name}"], values[f.name], texts.arrived_on) for f in fields}
    return texts.mutate(**values, **why)


def _value(field: Field, text: ibis.Column) -> ibis.Column:
    """The text as its kind, null where it is none; defaults stand in for a null, never for a malformed value."""
    if field.kind in ("number", "whole", "year"):
        number = text.re_search(NUMBER).ifelse(text.try_cast("float64"), ibis.null("float64"))
        return (
            number
            if field.kind == "number"
            else (number == number.floor()).ifelse(number.try_cast("int64"), ibis.null("int64"))
        )
    if field.kind == "date":
        # The day as the source wrote it: an offset does not move it to another day.
        return text.re_search(DATE).ifelse(text.substr(0, 10).try_cast("date"), ibis.null("date"))
    if field.kind == "moment":
        return text.re_search(DATE).ifelse(text.try_cast(MOMENT), ibis.null(MOMENT))
    if field.kind == "flag":
        word = text.lower()
        flag = ibis.cases((word.isin(["true", "1"]), True), (word.isin(["false", "0"]), False))
        return flag if field.default is None else text.isnull().ifelse(field.default, flag)
    if field.kind == "choice":
        return text.lower()
    if field.kind == "list":
        parts = text.split(SEPARATOR).map(lambda part: part.strip()).filter(lambda part: part != "")
        return text.startswith("[").ifelse(text, parts.cast("json").cast("string"))
    return text


def _why(field: Field, text: ibis.Column, value: ibis.Column, arrived_on: ibis.Column) -> ibis.Column:
    """The first reason against one field, null when there is none."""
    malformed = text.notnull() & value.isnull()
    found: list[tuple[ibis.Column, str]] = []
    if field.required:
        found.append((text.isnull(), "missing"))
    if field.kind in ("number", "whole", "year"):
        found += [
            (text.re_search(NOT_FINITE), "not_finite"),
            (text.notnull() & ~text.re_search(NUMBER), "not_a_number"),
            (text.try_cast("float64").abs() > LARGEST, "number_too_large"),
            (malformed, "number_too_large" if field.kind == "number" else "not_a_whole_number"),
        ]
        if field.lowest is not None:
            found.append((value < field.lowest, "out_of_range" if field.lowest else "negative"))
        if field.highest is not None:
            found.append((value > field.highest, "out_of_range"))
        if field.kind == "year" and field.past:
            found.append((value > arrived_on.year(), "out_of_range"))
    elif field.kind == "date":
        found += [(malformed, "not_a_date"), (value < ibis.literal(EARLIEST), "before_1970")]
    elif field.kind == "moment":
        found += [(malformed | (value.year() < 1900), "not_a_timestamp")]
    elif field.kind == "flag":
        found.append((malformed, "not_a_flag"))
    elif field.kind == "choice":
        found.append((value.notin(field.choices), f"unknown_{field.name}"))
    else:
        found.append((text.re_search(CONTROL), "control_characters"))
        longest = {"id": ID_LENGTH, "list": LIST_LENGTH}.get(field.kind, field.longest)
        found.append((text.length() > longest, "id_too_long" if field.kind == "id" else "text_too_long"))
        if field.kind in FORMS:
            form, other = FORMS[field.kind]
            found.append((~text.re_search(form), other))
        elif field.kind == "country":
            found.append((text.notin(sorted(COUNTRIES)), "not_a_country"))
        elif field.kind == "list":
            # Read as what it says: an escaped brace or quote counts as the character that a customer would see.
            texts = value.try_cast("json").array.map(lambda one: one.str)
            spoilt = texts.isnull() | (texts.filter(lambda one: one.isnull()).length() > 0)
            found += [
                (value.notnull() & spoilt, "not_a_list"),
                (texts.filter(lambda one: one.length() > field.longest).length() > 0, "text_too_long"),
            ]
            text = texts.join(" ")
        if field.rendered:
            found.append((text.contains("{{") | text.contains("}}"), "template_braces"))
    if field.past and field.kind != "year":
        latest = (arrived_on + ibis.interval(days=TOLERATED_DAYS)).cast("date")
        found.append((value.cast("date") > latest, "after_arrival"))
    return ibis.cases(*found, else_=_none())


# --- One row: what it refers to ---


def _held_by(rows: ibis.Table, held: ibis.Table) -> tuple[ibis.Table, dict[str, ibis.Column]]:
    """Rows under the first holder of their account, with the others beside; and what is wrong with account and user."""
    rows = rows.left_join(held, rows.account_id == held.held_account)
    strange = (rows.account_id.notnull() & rows.held_account.isnull()).ifelse("unknown_account", _none())
    claimed = rows.claimants.contains(rows.text_user_id).fill_null(False)
    foreign = ((rows.text_user_id != rows.holder) & ~claimed).ifelse("account_of_another_user", _none())
    rows = rows.mutate(user_id=foreign.isnull().ifelse(rows.holder.coalesce(rows.user_id), rows.user_id))
    return rows, {"account_id": strange, "user_id": foreign}


def _dated(rows: ibis.Table, newest: ibis.Table) -> ibis.Table:
    """Rows whose missing balance date is the newest transaction date of their batch, else their arrival."""
    rows = rows.left_join(newest, rows.batch == newest.dated_batch)
    assumed = ibis.coalesce(rows.newest, rows.arrived_on)
    return rows.mutate(balance_date=rows.text_balance_date.isnull().ifelse(assumed, rows.balance_date))


# --- All rows of an id ---


def _judged(table: str, rows: ibis.Table, keep: Keep, references: dict[str, ibis.Column] | None = None) -> ibis.Table:
    """Settle the outcome of rows whose fields were read; ``references`` holds further reasons by field.

    Rows whose id stands on several rows alone need comparing and ordering, and are mostly few.
    """
    fields, identity = FIELDS[table], list(key(table))
    why = {f.name: rows[f"why_{f.name}"] for f in fields}
    why |= {name: why[name].coalesce(reason) for name, reason in (references or {}).items()}
    unreadable = functools.reduce(operator.and_, (rows[f"text_{f.name}"].isnull() for f in fields))
    offended = functools.reduce(operator.or_, (reason.notnull() for reason in why.values()))
    found = ibis.array(list(why.values())).filter(lambda reason: reason.notnull()).unique().sort()
    found = offended.ifelse(found, ibis.literal([], type="array<string>"))
    offences = [(why[f.name].notnull(), _shown(f, rows[f"text_{f.name}"], fields)) for f in fields]
    columns = [f.name for f in fields]
    rows = rows.select(
        *columns,
        "batch",
        "file",
        "row",
        "arrival",
        "page",
        reasons=unreadable.ifelse(ibis.array(["unreadable_row"]), found),
        field=ibis.cases((unreadable, _none()), *((why[f.name].notnull(), f.name) for f in fields), else_=_none()),
        # Printable, and the first offence's as the field is; null where nothing was read.
        value=ibis.cases(*offences, else_=_none()).re_replace(CONTROL, "\N{REPLACEMENT CHARACTER}"),
        co_holders=rows.co_holders if table in HELD else ibis.null("array<string>"),
    )
    rows = keep(rows, f"read_{table}")
    repeated = keep(rows.group_by(identity).having(_.count() > 1).aggregate(), f"repeated_{table}")
    valid = rows.reasons.length() == 0
    alone = rows.mutate(outcome=valid.ifelse("accepted", "rejected"), alone=True).anti_join(repeated, identity)
    compared = keep(_compared(rows.semi_join(repeated, identity), table), f"compared_{table}")
    return alone.union(compared).select(*columns, "batch", *JUDGEMENT)


def _compared(rows: ibis.Table, table: str) -> ibis.Table:
    """The outcome of rows that share their ids: those of one page may not differ, and what says nothing new is a
    duplicate, under whichever holder of the account it is delivered."""
    fields, identity = FIELDS[table], key(table)
    content = ibis.struct({field.name: rows[field.name] for field in fields}).hash()
    rows = rows.mutate(valid=rows.reasons.length() == 0, content=content)
    within = ibis.window(group_by=[*identity, "batch", "page", "valid"])
    rows = rows.mutate(conflicting=rows.valid & (rows.content.min().over(within) != rows.content.max().over(within)))
    rows = rows.mutate(settled=rows.valid & ~rows.conflicting)
    before = ibis.window(group_by=[*identity, "settled"], order_by=["arrival", "page", "file", "row"])
    repeated = rows.settled & (rows.content == rows.content.lag().over(before)).fill_null(False)
    return rows.mutate(
        reasons=rows.conflicting.ifelse(ibis.array(["conflicting_id"]), rows.reasons),
        field=rows.conflicting.ifelse(identity[0], rows.field),
        value=rows.conflicting.ifelse(_shown(fields[0], rows[identity[0]], fields), rows.value),
        outcome=ibis.cases((~rows.settled, "rejected"), (repeated, "duplicate"), else_="accepted"),
        alone=False,
    ).drop("valid", "content", "conflicting", "settled")


def _shown(field: Field, text: ibis.Column, fields: tuple[Field, ...]) -> ibis.Column:
    """What may be shown of a field's text.

    The values of a shifted row stand under other fields' names: beside a personal field none but the key is shown,
    and a user's id, in whatever table, only where it can be neither an e-mail nor a whole name.
    """
    masked = text.notnull().ifelse(MASK, _none())
    if field.name == "user_id":
        return text.re_search(PLAIN_ID).ifelse(text.substr(0, VALUE_LENGTH), masked)
    return masked if any(f.personal for f in fields) else text.substr(0, VALUE_LENGTH)


def _none() -> ibis.Scalar:
    return ibis.null("string")

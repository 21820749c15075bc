"""What a small bank's SpendSense must hold and show, in plain Python and from what was said and delivered alone.

``Bank`` is the source and says what the merged tables hold. ``Promises`` hears what people did and says who consents,
what may be released at a moment and what each feed then shows. Nothing here asks the code under test, or its database.
"""

import datetime as dt
import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

DAY = dt.timedelta(days=1)
SCOPES = ("education", "partner_offers")
Row = dict[str, Any]
Tables = dict[str, list[Row]]


def hashed(content_type: str, title: str, content: str, rationale: str, product_id: str | None) -> str:
    """The hash of a text as docs/governance.md has it."""
    said = {"content_type": content_type, "title": title, "content": content, "rationale": rationale}
    said["product_id"] = product_id
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# --- The source ---


@dataclass
class Delivery:
    """A folder of files; ``mistake`` is what nobody can read in it. ``arrived`` is the day it was registered."""

    name: str
    tables: Tables
    mistake: bool = False
    arrived: dt.date | None = None


@dataclass
class Bank:
    """Customers and what was delivered of them; the newest delivery of an id stands."""

    rng: Random
    born: int = 0
    batches: int = 0
    holders: dict[str, list[str]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    new_people: list[Row] = field(default_factory=list)
    unsaid: dict[str, Row] = field(default_factory=dict)
    arrived: list[Delivery] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)

    @property
    def customers(self) -> list[str]:
        """Everybody the bank still delivers."""
        return sorted({one for held in self.holders.values() for one in held} - self.erased)

    def someone_joins(self, now: dt.datetime) -> None:
        """A customer with an account, every fourth time beside somebody else; most consent in the file, some later."""
        self.born += 1
        user, account = f"customer-{self.born:03}", f"account-{self.born:03}"
        said = self.rng.choice([True, True, True, False, None])
        self.new_people.append(
            {
                "user_id": user,
                "full_name": f"Somebody {self.born}",
                "email": f"{user}@example.org",
                "user_type": "customer",
                "consent_status": said,
                "consent_granted_at": self.rng.choice([None, _moment(now - DAY)]) if said else None,
                "consent_revoked_at": None,
            }
        )
        others = self.customers
        self.holders[account] = [user]
        if others and self.born % 4 == 0:
            self.holders[account].append(self.rng.choice(others))

    def someone_says_no(self, user: str, now: dt.datetime) -> None:
        """At the branch; the next file of people says so."""
        self.unsaid[user] = {"user_id": user, "consent_status": False, "consent_revoked_at": _moment(now)}

    def delivery(self, now: dt.datetime) -> Delivery:
        """The next folder: new rows, corrections, repetitions, removals, postings, bad rows; or a broken file."""
        self.batches += 1
        people, self.new_people = self.new_people, []
        said, self.unsaid = self.unsaid, {}
        accounts = [
            {"account_id": account, "user_id": user, "type": "depository", "subtype": "checking", "balance_current": 9}
            for account, held in self.holders.items()
            for user in held
            if user not in self.erased
            and (self.rng.random() < 0.1 or not {one["user_id"] for one in people}.isdisjoint(held))
        ]
        rows: list[Row] = []
        open_accounts = [account for account, held in self.holders.items() if set(held) - self.erased]
        for account in open_accounts:
            rows += [self._transaction(account, now) for _ in range(self.rng.randint(0, 3))]
        known = sorted(name for name, account in self.ids.items() if account in open_accounts)
        for name in self.rng.sample(known, min(len(known), 6)):
            change = self.rng.choice(["corrected", "corrected", "removed", "bad", "conflict", "late account"])
            row = self._row(name, self.ids[name], now)
            if change == "removed":
                row = {"transaction_id": name, "removed": True}
            elif change == "bad":
                row[self.rng.choice(["amount", "date"])] = "unknown"
            elif change == "late account":
                row |= {"transaction_id": f"{name}-x{self.batches}", "account_id": "account-nobody-knows"}
            rows.append(row)
            if change == "conflict":
                rows.append(row | {"amount": row["amount"] - 1})
        self.pending = [name for name in self.pending if self.ids[name] in open_accounts]
        if self.pending and self.rng.random() < 0.7:
            name = self.pending.pop()
            rows.append(self._transaction(self.ids[name], now) | {"pending": False, "pending_transaction_id": name})
        tables = {
            "users": people + [one for user, one in said.items() if user not in self.erased],
            "accounts": accounts,
        }
        tables |= {"transactions": rows}
        if self.batches == 1 or self.rng.random() < 0.15:
            tables["products"] = [_product(name, self.rng.random() < 0.8) for name in ("card-a", "card-b", "card-c")]
        if self.arrived and self.rng.random() < 0.15:  # an old file once more, under another name
            tables = self.rng.choice(self.arrived).tables
        return Delivery(f"b{self.batches:04}", tables, mistake=self.batches > 1 and self.rng.random() < 0.12)

    def _transaction(self, account: str, now: dt.datetime) -> Row:
        name = f"t{len(self.ids):06}"
        self.ids[name] = account
        row = self._row(name, account, now)
        if self.rng.random() < 0.1:
            row["pending"] = True
            self.pending.append(name)
        return row

    def _row(self, name: str, account: str, now: dt.datetime) -> Row:
        day = (now - DAY * self.rng.randint(1, 20)).date()
        held = [one for one in self.holders[account] if one not in self.erased]
        row: Row = {"transaction_id": name, "account_id": account, "date": day.isoformat()}
        row |= {"amount": -self.rng.randint(1, 40_000) / 100, "merchant_name": f"Shop {self.rng.randint(1, 9)}"}
        return row | ({"user_id": self.rng.choice(held)} if self.rng.random() < 0.3 else {})

    def tables(self) -> dict[str, Counter[tuple[Any, ...]]]:
        """The merged tables, as rows of what is compared, and the rejected rows by batch and table."""
        gone = {account for account, held in self.holders.items() if set(held) <= self.erased}
        people: dict[str, Row] = {}
        held: dict[str, set[str]] = {}
        products: dict[str, bool] = {}
        for one in self.arrived:
            people |= {row["user_id"]: row for row in one.tables["users"] if row["user_id"] not in self.erased}
            products |= {row["product_id"]: row["active"] for row in one.tables.get("products", ())}
            for row in one.tables["accounts"]:
                if row["user_id"] not in self.erased:
                    held.setdefault(row["account_id"], set()).add(row["user_id"])
        held = {account: users & people.keys() for account, users in held.items() if users & people.keys()}
        standing, removed, posted = dict[str, Row](), set[str](), dict[str, tuple[str, str]]()
        rejected: Counter[tuple[Any, ...]] = Counter()
        for one in self.arrived:
            of_id: dict[str, list[Row]] = {}
            for row in one.tables["transactions"]:
                if row.get("account_id") not in gone:
                    of_id.setdefault(row["transaction_id"], []).append(row)
            for name, rows in of_id.items():
                valid = [row for row in rows if row.get("removed") or _is_valid(row, held, self.erased)]
                if len({json.dumps(_content(row), sort_keys=True) for row in valid}) > 1:
                    valid = []
                # Rows on an account that nobody delivered may go with any of the customers whom some of them name.
                unclear = sum(
                    bool(self.erased) and row not in valid and row.get("account_id") not in {*held, None}
                    for row in rows
                )
                rejected[one.name, "transactions"] += len(rows) - len(valid) - unclear
                for row in valid[:1]:
                    if row.get("removed"):
                        removed.add(name)
                    else:
                        removed.discard(name)
                        standing[name] = row
            rejected[one.name, "accounts"] += sum(
                row["user_id"] not in people for row in one.tables["accounts"] if row["user_id"] not in self.erased
            )
        for name, row in standing.items():
            if row.get("pending_transaction_id"):
                posted[row["pending_transaction_id"]] = (name, row["account_id"])
        taken = {name for name, (_, own) in posted.items() if name in standing and standing[name]["account_id"] == own}
        transactions = Counter(
            (name, user, row["account_id"], row["date"], row["amount"], bool(row.get("pending")), row["merchant_name"])
            for name, row in standing.items()
            if name not in removed | taken
            for user in held[row["account_id"]]
        )
        return {
            "users": Counter((name,) for name in people),
            "accounts": Counter((account, user) for account, users in held.items() for user in users),
            "transactions": transactions,
            "products": Counter(products.items()),
            "quarantined_rows": +rejected,
        }

    def people(self) -> dict[str, Row]:
        """The newest row of each customer."""
        return {
            row["user_id"]: row
            for one in self.arrived
            for row in one.tables["users"]
            if row["user_id"] not in self.erased
        }

    def spent(self, user: str) -> float:
        """What left the accounts of a customer, by the merged table."""
        return -sum(row[4] * n for row, n in self.tables()["transactions"].items() if row[1] == user)


def _content(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "user_id"}


def _is_valid(row: Row, held: dict[str, set[str]], erased: set[str]) -> bool:
    return row["account_id"] in held and "unknown" not in (row["amount"], row["date"])


def _moment(at: dt.datetime) -> str:
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _product(name: str, active: bool) -> Row:
    said = {"product_name": name, "product_type": "credit_card", "short_description": "A card.", "active": active}
    return {"product_id": name, **said}


# --- What was promised ---


@dataclass
class Period:
    """A time of consent; ``agreed`` is None where a file gave no date."""

    opened: dt.datetime
    agreed: dt.datetime | None
    closed: bool = False


@dataclass
class Draft:
    """What was handed in for approval, and under which period."""

    user: str
    period: tuple[str, str, int]
    content_type: str
    piece: str
    product: str | None
    wording: tuple[str, str]
    topic: str
    registered: list[dt.datetime]


@dataclass
class Released:
    """What went out."""

    draft: Draft
    text: str
    at: dt.datetime
    until: dt.datetime
    place: int
    over: bool = False


@dataclass
class Promises:
    """Who consents, who decided what on which words, what went out."""

    consent_days: int
    four_eyes: bool = False
    active: set[str] = field(default_factory=set)
    consents: dict[tuple[str, str], list[Period]] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)
    words: dict[tuple[str, str], Row] = field(default_factory=dict)
    authors: dict[tuple[str, str], str] = field(default_factory=dict)
    approved: dict[str, tuple[str, str]] = field(default_factory=dict)
    releases: dict[str, Released] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)
    declined: set[tuple[str, str]] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    on_hold: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    # Consent.

    def live(self, user: str, scope: str, now: dt.datetime) -> tuple[str, str, int] | None:
        """The live period, by its number."""
        periods = self.consents.get((user, scope), [])
        if not periods or periods[-1].closed or periods[-1].opened > now or self._lapsed(periods[-1], now):
            return None
        return user, scope, len(periods)

    def _lapsed(self, period: Period, now: dt.datetime) -> bool:
        agreed = period.agreed or period.opened
        return bool(self.consent_days) and agreed <= now - DAY * self.consent_days

    def grant(self, user: str, scopes: list[str], now: dt.datetime) -> None:
        self.close_lapsed(now, user)
        for scope in scopes:
            periods = self.consents.setdefault((user, scope), [])
            if periods and not periods[-1].closed:
                periods[-1].agreed = now
            else:
                periods.append(Period(now, now))

    def revoke(self, user: str, scopes: list[str], now: dt.datetime) -> None:
        for scope in scopes:
            periods = self.consents.setdefault((user, scope), [])
            if not periods:  # a no before any yes keeps files from opening one
                periods.append(Period(now, None, closed=True))
            self._close(user, scope)

    def close_lapsed(self, now: dt.datetime, user: str | None = None) -> None:
        for (name, scope), periods in self.consents.items():
            if user in (None, name) and not periods[-1].closed and self._lapsed(periods[-1], now):
                self._close(name, scope)

    def _close(self, user: str, scope: str) -> None:
        periods = self.consents[user, scope]
        periods[-1].closed = True
        self.end(lambda draft: draft.period == (user, scope, len(periods)))

    def file_said(self, people: dict[str, Row], now: dt.datetime) -> None:
        """A file closes what was agreed before the no in it, and opens for those who were never asked."""
        for user, row in people.items():
            no = _read(row.get("consent_revoked_at"))
            for scope in SCOPES:
                periods = self.consents.get((user, scope), [])
                last = periods[-1] if periods else None
                if no and last and no <= now and not last.closed and (last.agreed is None or last.agreed <= no):
                    self._close(user, scope)
            yes = _read(row.get("consent_granted_at"))
            asked = any((user, scope) in self.consents for scope in SCOPES)
            if row.get("consent_status") and not asked and (yes is None or yes <= now) and not no:
                for scope in SCOPES:
                    self.consents[user, scope] = [Period(now, yes)]

    # Texts.

    def end(self, meant: Any) -> None:
        """What is meant waits no more, and is not shown any more."""
        for name, draft in self.drafts.items():
            if meant(draft):
                if name in self.releases:
                    self.releases[name].over = True
                else:
                    self.approved.pop(name, None)

    def decided(self, action: str, name: str, operator: str, text: str, four_eyes: bool) -> None:
        """A decision was taken; it must have been one that may be taken."""
        draft = self.drafts[name]
        assert operator in self.active, f"{operator} is not active and decided"
        assert operator != draft.user
        assert name not in self.releases, "decided after the release"
        author = self.authors.get((name, text))
        if action == "approve":
            assert self.words[name, text]["severity"] < 2, "approved with a critical finding"
            assert not (four_eyes and author == operator), "approved by the author of the words"
        self.approved.pop(name, None)
        if action == "approve" or (action == "override" and not four_eyes):
            self.approved[name] = (text, operator)

    def may_go(self, name: str, now: dt.datetime) -> str | None:
        """Why a text may not be released now; None where it may."""
        draft = self.drafts[name]
        reasons = {
            "not approved": name not in self.approved,
            "released before": name in self.releases,
            "no live consent": self.live(draft.user, draft.period[1], now) != draft.period,
            "erased": draft.user in self.erased,
            "too old": all(at + 14 * DAY <= now for at in draft.registered),
            "product gone": draft.product in self.withdrawn,
            "topic switched off": (draft.user, draft.topic) in self.declined,
            "wording held": draft.wording in self.held,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def release(self, names: list[str], now: dt.datetime, release_days: int) -> None:
        """The gate let these out; what it wrote down as ended is ended for good."""
        for name in names:
            assert (why := self.may_go(name, now)) is None, f"{name} was released: {why}"
        self.close_lapsed(now)
        for released in self.releases.values():
            released.over |= released.until <= now or released.draft.product in self.withdrawn
        for name in names:
            text, draft = self.approved[name][0], self.drafts[name]
            assert self.words[name, text]["severity"] < 2
            self.sent += 1
            self.releases[name] = Released(draft, text, now, now + release_days * DAY, self.sent)
        users = {self.drafts[name].user for name in names}
        newest = {(one.draft.user, one.draft.piece): one.place for one in self.releases.values()}
        for one in self.releases.values():
            one.over |= one.draft.user in users and one.place < newest[one.draft.user, one.draft.piece]

    def feed(self, now: dt.datetime) -> dict[str, tuple[str, ...]]:
        """What customers may see at this moment: recommendation → user, title, content, hash."""
        return {
            name: (one.draft.user, self.words[name, one.text]["title"], self.words[name, one.text]["content"], one.text)
            for name, one in self.releases.items()
            if not one.over
            and one.until > now
            and self.live(one.draft.user, one.draft.period[1], now) == one.draft.period
            and one.draft.product not in self.withdrawn
            and one.draft.wording not in self.held
        }

    def forget(self, user: str) -> None:
        """The customer was erased: from now on nothing of theirs is known."""
        theirs = {name for name, draft in self.drafts.items() if draft.user == user}
        for known in (self.drafts, self.approved, self.releases):
            for name in theirs & known.keys():
                known.pop(name)  # type: ignore[attr-defined]
        self.words = {key: one for key, one in self.words.items() if key[0] not in theirs}
        self.consents = {key: one for key, one in self.consents.items() if key[0] != user}
        self.declined = {one for one in self.declined if one[0] != user}


def _read(moment: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(moment) if moment else None

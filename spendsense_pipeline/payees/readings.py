"""Who was paid and what for, once for each distinct descriptor: names, known payees, vocabularies and words together.

The first source that knows a row's category gives it, in the order of ``SOURCES``. What does not belong here: a
customer, an amount or a date; what the population shows arrives as a table (``population.py``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from spendsense_pipeline.payees import known, names, vocabularies, words
from spendsense_pipeline.payees.known import HouseRule, KnownPayee, Match, Phrases

DESCRIPTOR: Final = (
    *("merchant_name", "description_raw", "counterparty_name"),
    *("category_primary", "category_detailed", "mcc", "transaction_code"),
)
"""The columns of a transaction that say who was paid and what for. A table may lack any of them."""

SOURCES: Final = ("category", "mcc", "code", "house", "known_payee", "population", "model", "words")
"""Where a category comes from, the first that knows it. A house's line that overrides goes before all of them."""

SCHEMA: Final = pa.schema(
    {
        "name": pa.string(),
        "display": pa.string(),
        "category": pa.string(),
        "category_source": pa.string(),
        "counterparty": pa.string(),
        "service": pa.string(),
        "says": pa.int64(),
        "mark": pa.string(),
        "list_priced": pa.bool_(),
        "own_priced": pa.bool_(),
        "bare": pa.bool_(),
        "by_paypal": pa.bool_(),
    }
)

_MOST_KEPT = 200_000
"""Texts, and shapes of texts, whose payee is remembered; more would fill the memory of whoever reads millions."""

_PAYROLL = words.BITS["payroll"]
_BENEFITS = words.BITS["benefit"] | words.BITS["pension"]
_PAY_OR_PENSION = "lohn gehalt rente"
"""How German banks head an entry that is either."""
_OWN_ACCOUNT = words.BITS["own_account"]
_PLAN = words.BITS["plan"]
_NO_CARD = words.BITS["card_payment"] | words.BITS["fee"]
_ON_A_CARD = re.compile(
    rf"[A-Za-z] {{0,2}}\* ?[A-Za-z]|\b\d{{3}}-(?:\d{{3}}-\d{{4}}|0{{8}}) +[A-Z]{{2}}$|{names.FOREIGN_PRICE}"
)
"""What only a card's descriptor has: a star behind the processor, a telephone number and a state at its end, or a price
in another currency with its rate.
Long numbers and codes are zeros here (``names.shape``)."""
_STATE = (
    *("INCOME_RETIREMENT_PENSION", "INCOME_UNEMPLOYMENT", "INCOME_TAX_REFUND", "INCOME_GOVERNMENT_BENEFITS"),
    *("INCOME_MILITARY", "GOVERNMENT_AND_NON_PROFIT_TAX_PAYMENT"),
    "GOVERNMENT_AND_NON_PROFIT_GOVERNMENT_DEPARTMENTS_AND_AGENCIES",
)
_EMPLOYER = ("INCOME_WAGES",)
_BANK = ("BANK_FEES", "INCOME_INTEREST_EARNED")
_SHOPS = ("FOOD_AND_DRINK", "GENERAL_MERCHANDISE", "TRANSPORTATION", "TRAVEL", "ENTERTAINMENT", "HOME_IMPROVEMENT")
"""Purchases that nobody makes from a private person, so that the category outweighs a name that looks like one."""
_TRANSPORT = ("TRANSPORTATION", "TRAVEL")
_SAYS_OWN_THING = ("gig", "peer", "cash_advance", "instalments", "shared_biller", "brokerage")
"""Services whose own name is a word of the kind that is looked for; it is not masked."""


_MAY_SELL = (None, "habit", "gig")
"""Services of houses that sell plans beside."""
_MAY_EMPLOY = (None, "habit", "subscription", "shared_biller")
"""Services of payees whose payroll words are meant: what a shop pays out is a wage, what a lender does is not."""


@dataclass(frozen=True, slots=True)
class Payee:
    """Who the texts of a row name, before anything that was delivered beside them."""

    name: str | None
    display: str | None
    known: KnownPayee | None
    house: HouseRule | None
    person: bool
    own: bool
    pays: bool
    business: bool
    says: int
    word_category: str | None
    bare: bool
    by_paypal: bool


class Reader:
    """What texts and codes say, for whoever reads several tables, or one again with another population: a text is read
    once."""

    def __init__(self, house: Sequence[HouseRule] = ()) -> None:
        self._identify = Identifier(house)
        self._payees: dict[tuple[Any, ...], Payee] = {}
        self._shapes: dict[tuple[Any, ...], Payee] = {}

    def __call__(self, descriptors: pa.Table, population: pa.Table | None = None) -> pa.Table:
        """What each row of ``DESCRIPTOR`` columns says, row for row.

        ``name`` is the key that spellings share, ``display`` the name as a reader sees it (neither where the texts are
        empty); ``category`` one of Plaid's names and ``category_source`` one of ``SOURCES``; ``counterparty`` one of
        ``known.COUNTERPARTIES`` (``person``: the name looks like one); ``service`` one of ``known.SERVICES``, whatever
        the category's source; ``says`` the bits of ``words.CLASSES``; ``mark`` what the transaction code says of the
        row; ``list_priced`` and ``own_priced`` what the ``population`` shows, null where it shows nothing; ``bare``:
        beside how it was paid, the texts name nobody; ``by_paypal``: PayPal moved the money. All but ``says`` and the
        last two may be null.
        """
        told = list(zip(*self.rows(descriptors, population), strict=True)) or [()] * len(SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(told, SCHEMA, strict=True)]
        return pa.table(arrays, schema=SCHEMA)

    def rows(self, descriptors: pa.Table, population: pa.Table | None = None) -> list[tuple[Any, ...]]:
        """The same, a tuple for each row."""
        columns = [
            descriptors.column(name).to_pylist() if name in descriptors.column_names else [None] * len(descriptors)
            for name in DESCRIPTOR
        ]
        told = list(zip(*columns, strict=True))
        payees = {descriptor: self._payee(descriptor[:3]) for descriptor in dict.fromkeys(told)}
        shown = _shown(population, {payee.name for payee in payees.values()})
        found = {
            descriptor: _reading_of(payee, descriptor[3:], shown.get(payee.name, {}))
            for descriptor, payee in payees.items()
        }
        return [found[descriptor] for descriptor in told]

    def _payee(self, texts: tuple[Any, ...]) -> Payee:
        payee = self._payees.get(texts)
        if payee is None:
            if len(self._payees) > _MOST_KEPT:
                self._payees.clear()
            if len(self._shapes) > _MOST_KEPT:
                self._shapes.clear()
            payee = self._shared(names.shape, texts)
            if payee.bare:  # the codes are all that there is
                payee = self._shared(names.without_numbers, texts)
            self._payees[texts] = payee
        return payee

    def _shared(self, shape: Callable[[str], str], texts: tuple[Any, ...]) -> Payee:
        shapes = tuple(shape(text) if text else None for text in texts)
        payee = self._shapes.get(shapes)
        if payee is None:
            payee = self._shapes[shapes] = self._identify(*shapes)
        return payee


class Identifier:
    """Who the texts of one row name, by the shipped table and a house's own lines.

    >>> Identifier()("PAYPAL *SPOTIFY", None, None).display
    'Spotify'
    """

    def __init__(self, house: Sequence[HouseRule] = ()) -> None:
        self._known = known.phrases()
        self._has_rules = bool(house)
        self._house = Phrases((rule.pattern, rule) for rule in house)

    def __call__(self, merchant: str | None, description: str | None, counterparty: str | None) -> Payee:
        told = [text for text in (merchant, counterparty, description) if text and not text.isspace()]
        read = [names.read(text) for text in told]
        matches = [self._match(text) for text in read]
        lead, own = _leading(read, matches)
        match, at = _meant(read, matches, lead)
        rule = next(filter(None, (self._rule(text) for text in read)), None) if self._has_rules else None
        if match is None:
            name, payee = own, None
        else:
            name, payee = _name_and_payee(read[at or 0], match)
            if name is None and match.entry.service == "peer":  # another field may say who was paid by it
                name = next(filter(None, (_sent_to(*each) for each in zip(read, matches, strict=True))), None)
                payee = None if name is not None else payee
        bare = name is None and payee is None
        if bare and told:
            name = names.plain_name(told[0])
        key, display = (payee.key, payee.display) if name is None and payee else (None, None)
        if name is not None:
            key, display = name.key, name.display
        if rule is not None and rule.display:
            key, display = names.fold(rule.display), rule.display
        if payee is None and match is not None and match.entry.service == "peer":
            payee = match.entry  # the service moved the money, and the name is somebody else's
        pays = any(text.pays for text in read)
        if pays and payee is not None and payee.counterparty == "merchant" and payee.service in _MAY_EMPLOY:
            payee = replace(payee, category=None, service=None, counterparty="employer")
        plain = [_masked(words.plain(text), match, payee) for text in told]
        says = words.says(*map(_without_label, plain))
        if says & _PLAN and (name or rule) is None and payee is not None and _sells_plans(payee):
            key, display = f"{payee.key} plan", f"{payee.display} plan"
            payee = replace(payee, key=key, display=display, category=None, service=None)
        transfers = any(text.transfers for text in read) or (payee is not None and payee.service == "peer")
        company = any(names.is_company(text) for text in read)
        if not says & _NO_CARD and any(_ON_A_CARD.search(text) for text in told):
            says |= words.BITS["card"]
        return Payee(
            name=key,
            display=display,
            known=payee,
            house=rule,
            person=name is not None
            and not (bare or company or says & _OWN_ACCOUNT)
            and names.is_person(name.words, addressed=transfers),
            own=any(text.own for text in read[: (lead or 0) + 1]),
            pays=pays,
            business=name is not None and (company or names.is_business(name.words)),
            says=says,
            word_category=next(filter(None, (words.word_category(text) for text in plain)), None),
            bare=bare,
            by_paypal=words.plain(merchant or "").startswith("paypal "),
        )

    def _match(self, text: names.Text) -> Match[KnownPayee] | None:
        found = known.best(self._known.in_words(text.words, text.starts), text.starts)
        if found is None and text.raw != text.words:
            # A name that begins like boilerplate (`SO ENERGY`), or a service that a transfer went by (`ZELLE TO`).
            found = known.best(self._known.in_words(text.raw), (0,))
            if found is None or found.entry.service == "peer":
                return found
            if found.start or (found.entry.service in known.YIELDS and _own_name(text) is not None):
                return None
        elif found is not None and text.raw != text.words:
            # What else is boilerplate may say what of a house is paid: `BEST BUY AUTO PYMT` is its card.
            longer = known.best(self._known.in_words(text.raw), (0,))
            if longer is not None and _begins(found.phrase, longer.phrase):
                return longer
        return found

    def _rule(self, text: names.Text) -> HouseRule | None:
        found = self._house.in_words(text.words, text.starts)
        return min(found, key=lambda each: (each.start - each.end, each.start)).entry if found else None


def _own_name(text: names.Text) -> names.Name | None:
    """The name in a text, behind its processor's code if there is one behind it."""
    if text.processed:
        behind = names.name_of(text, text.starts[-1])
        if behind is not None and any(word.isalpha() and len(word) > 1 for word in behind.words):
            return behind
    return names.name_of(text) if text.words else None


def _meant(
    read: Sequence[names.Text], matches: Sequence[Match[KnownPayee] | None], lead: int | None
) -> tuple[Match[KnownPayee] | None, int | None]:
    """The known payee that is meant, and which text names the payee.

    The leading text decides. Another one may only say what of the leading house's was bought (`Apple` beside
    `APPLE.COM/BILL`, `Amazon` beside `KINDLE UNLTD`), whose money a shared biller took, or that a service moved it.
    """
    if lead is None:
        return None, None
    leading = matches[lead]
    if leading is None:
        for at, each in enumerate(matches):
            if each and each.entry.service == "subscription" and _begins(read[lead].words, read[at].words):
                return each, at
        service = next((each for each in matches if each and each.entry.service == "peer"), None)
        return service, lead
    for at, each in enumerate(matches):
        if each is not None and (_sells(leading, each) or _begins(leading.phrase, each.phrase)):
            return each, at
    if leading.entry.service in known.YIELDS:
        for at, each in enumerate(matches):
            if each is not None and each.entry.service not in known.YIELDS:
                return each, at
    return leading, lead


def _sells_plans(payee: KnownPayee) -> bool:
    """Whether what a shop of habits calls a plan is one; a pass for trains is none."""
    return payee.service == "habit" and not (payee.category or "").startswith(_TRANSPORT)


def _begins(phrase: Sequence[str], longer: Sequence[str]) -> bool:
    return len(longer) > len(phrase) and longer[: len(phrase)] == phrase


def _sells(house: Match[KnownPayee], plan: Match[KnownPayee]) -> bool:
    """Whether one is a shop where one buys as one goes, and the other a plan."""
    return (
        plan.entry.service == "subscription"
        and house.entry.service in _MAY_SELL
        and house.entry.counterparty == "merchant"
    )


def _leading(
    read: Sequence[names.Text], matches: Sequence[Match[KnownPayee] | None]
) -> tuple[int | None, names.Name | None]:
    """The first text that names somebody, and the name in it where it is no known payee's."""
    for at, text in enumerate(read):
        if matches[at] is not None:
            return at, None
        name = _own_name(text)
        if name is not None:
            return at, name
    return None, None


def _name_and_payee(text: names.Text, match: Match[KnownPayee]) -> tuple[names.Name | None, KnownPayee | None]:
    """The name to go by and the known payee: a name of its own where the payee only moved or billed the money."""
    payee = match.entry
    if payee.generic:
        return _own_name(text), payee
    if payee.service == "peer":
        name = _sent_to(text, match)
        return name, None if name is not None else payee
    if payee.service in known.YIELDS and text.processed and match.end <= text.starts[-1]:
        name = names.name_of(text, text.starts[-1])
        if name is not None:
            return name, None
    return None, payee


def _sent_to(text: names.Text, match: Match[KnownPayee] | None) -> names.Name | None:
    """The person or business that a text names beside the service by which money went there."""
    name = _own_name(text)
    if match is not None:
        if match.entry.service != "peer":
            return None
        if text.words[match.start : match.end] == text.raw[match.start : match.end] and not text.transfers:
            name = names.name_of(text, match.end)
        name = None if name is not None and name.key == match.entry.key else name
    if name is None or names.is_legal_form(name):
        return None
    somebody = names.is_company(text) or names.is_business(name.words) or names.is_person(name.words, addressed=True)
    return name if somebody else None


def _masked(plain: str, match: Match[KnownPayee] | None, payee: KnownPayee | None) -> str:
    """A plain text without a known shop's name, whose words say nothing: Rent the Runway is no rent."""
    if match is None or payee is None or payee.counterparty != "merchant" or payee.service in _SAYS_OWN_THING:
        return plain
    if len(match.phrase) < 2:
        return plain
    return f" {plain} ".replace(f" {' '.join(match.phrase)} ", " ").strip()


def _without_label(plain: str) -> str:
    """A plain text of a pension or benefit without the words above it that are of pay as well."""
    rest = plain.replace(_PAY_OR_PENSION, " ")
    return rest if rest != plain and words.says(rest) & _BENEFITS else plain


def _shown(population: pa.Table | None, names: set[str | None]) -> dict[str | None, dict[str, Any]]:
    """The population's evidence of the payees of such names: of a range of customers, a small part of all."""
    if population is None:
        return {}
    named = pc.is_in(population["name"], value_set=pa.array(list(names), pa.string()))
    return {row["name"]: row for row in population.filter(named).to_pylist()}


def _reading_of(payee: Payee, delivered: tuple[Any, ...], shown: dict[str, Any]) -> tuple[Any, ...]:
    primary, detailed, mcc, code = delivered
    meaning = vocabularies.code_meaning(code)
    category, source = _first_category(
        payee, vocabularies.delivered_category(primary, detailed), vocabularies.mcc_category(mcc), meaning, shown
    )
    service = (payee.house.service if payee.house else None) or (payee.known.service if payee.known else None)
    return (
        payee.name,
        payee.display,
        category,
        source,
        _counterparty(payee, category, meaning),
        service,
        payee.says,
        meaning.mark if meaning else None,
        shown.get("list_priced"),
        shown.get("own_priced"),
        payee.bare,
        payee.by_paypal,
    )


def _first_category(
    payee: Payee,
    delivered: str | None,
    merchant: str | None,
    meaning: vocabularies.Code | None,
    shown: dict[str, Any],
) -> tuple[str | None, str | None]:
    """The category and its source: the first of ``SOURCES`` that knows it."""
    house = payee.house.category if payee.house else None
    if payee.house and payee.house.overrides_delivered and house:
        return house, "house"
    candidates = (
        (delivered, "category"),
        (merchant, "mcc"),
        (meaning.category if meaning else None, "code"),
        (house, "house"),
        (payee.known.category if payee.known else None, "known_payee"),
        (shown.get("category"), shown.get("category_source")),
        # Of a known payee more is known than its words say, and an own account's words are of no purchase.
        (None if payee.known or payee.own else payee.word_category, "words"),
    )
    return next(((category, source) for category, source in candidates if category), (None, None))


def _counterparty(payee: Payee, category: str | None, meaning: vocabularies.Code | None) -> str | None:
    if payee.house and payee.house.counterparty:
        return payee.house.counterparty
    if payee.known and payee.known.service not in ("peer", "shared_biller"):
        return payee.known.counterparty
    if payee.own:
        return "own"
    category = category or ""
    if category.startswith(_STATE):
        return "state"
    if (
        category.startswith(_EMPLOYER)
        or payee.pays
        or payee.says & _PAYROLL
        or (meaning is not None and meaning.mark == "payroll")
    ):
        return "employer"
    if category.startswith(_BANK):
        return "bank"
    if payee.person and not category.startswith(_SHOPS):
        return "person"
    return "merchant" if payee.business or category.startswith(_SHOPS) else None

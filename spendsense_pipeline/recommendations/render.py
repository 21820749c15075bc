"""From a template and one customer's figures to the text that this customer would read.

Also written here, by code and never by a model: the closing lines of every text, the disclosures, and the
rationale, which turns the persona's reasons into plain words. What does not belong here: which piece is
chosen (``drafts.py``).
"""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.recommendations.offers import HELP
from spendsense_pipeline.recommendations.slots import SLOT

EDUCATION_DISCLOSURE: Final = (
    "This is educational content, not financial advice. Consult a licensed advisor for personalized guidance."
)
OFFER_DISCLOSURE: Final = "Product terms, rates, and availability subject to change."
FREE_HELP: Final = "Free help"
COMPENSATION: Final = "SpendSense may receive compensation from partners."
"""Said where it does."""
HOW_TO_STOP: Final = "You said yes to messages like this, and you can stop them at any time in your consent settings."

AS_OF: Final = "{{ as_of }}"
"""The slot that every text ends with ..."""
SHARED: Final = "{{ shared_account }}"
"""... and the one beside it where others hold an account, too."""

Slots = Mapping[str, Mapping[str, Any]]
"""Slot -> {signal, value, shown}."""


@functools.lru_cache(maxsize=256)
def read(written: str) -> Any:
    """What a JSON text says, not to be changed: the texts of one customer rest on the same few, one after another."""
    return json.loads(written)


class RenderError(SpendSenseError):
    """A template names a slot that this customer's figures cannot fill; nothing was rendered."""

    code = "slot_missing"


def fill_slots(template: str, slots: Slots) -> str:
    """The template with each ``{{ slot }}`` replaced by what is shown. Raises RenderError, never leaves a gap.

    >>> fill_slots("You have {{ cards_owing }}.", {"cards_owing": {"shown": "2 cards with a balance"}})
    'You have 2 cards with a balance.'
    """
    words, names = _parted(template)
    shown = [str(slots[name].get("shown") or "") if name in slots else "" for name in names]
    if not all(shown):
        missing = names[shown.index("")]
        raise RenderError(f"no value for the slot {missing}; available are {', '.join(sorted(slots))}")
    text = "".join([each for pair in zip(words, [*shown, ""], strict=True) for each in pair])
    if "{{" in text or "}}" in text:
        raise RenderError("braces are left that are no slot; a slot is written {{ name }}")
    return text


@functools.lru_cache(maxsize=4096)
def _parted(template: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words around the slots of a text, and the slots."""
    parts = SLOT.split(template)
    return tuple(parts[::2]), tuple(parts[1::2])


_ESTIMATE: Final = re.compile(r"\b(?:about|around|roughly|nearly|almost|close to) \{\{ ([a-z_]+) \}\}", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def _shows(texts: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The slots of a text's parts, and those of which one says that they are estimates."""
    whole = "\n".join(texts)
    return frozenset(SLOT.findall(whole)), frozenset(_ESTIMATE.findall(whole))


def as_spoken_of(texts: tuple[str, ...], slots: Slots) -> dict[str, Mapping[str, Any]]:
    """The slots that a text's parts show, an amount after "about" without its cents.

    >>> as_spoken_of(("About {{ total }}.",), {"total": {"shown": "$12.55", "about": "$13"}, "amount": {"shown": "$4"}})
    {'total': {'shown': '$13'}}
    """
    shows, estimates = _shows(texts)
    return {
        name: _spoken(slot, estimate=name in estimates) if "about" in slot else slot
        for name, slot in slots.items()
        if name in shows
    }


def _spoken(slot: Mapping[str, Any], *, estimate: bool) -> dict[str, Any]:
    spoken = {key: value for key, value in slot.items() if key != "about"}
    return spoken | {"shown": slot["about"]} if estimate else spoken


@functools.lru_cache(maxsize=4096)
def closed(body: str, because: str, shared: bool, *disclosures: str) -> str:
    """A text with the lines that every one ends with: day of the figures, whether an account behind them is shared, why
    the customer sees it, how to stop, the disclosures."""
    whose = f", {SHARED} included" if shared else ""
    return "\n\n".join([body, f"Figures as of {AS_OF}{whose}. {because} {HOW_TO_STOP}", *disclosures])


def render_education(title: str, content: str, because: str, slots: Slots) -> tuple[str, str]:
    """Title and text of a piece of education, with the closing lines; ``because`` is its rationale."""
    content = closed(content, because, "shared_account" in slots, EDUCATION_DISCLOSURE)
    return fill_slots(title, slots), fill_slots(content, slots)


REASONS_AT_MOST: Final = 3
"""A reader takes in so many; the rest stands in the draft's ``reasons``."""

# Signal -> (the words with the figure, the words where the figure cannot be shown). The most telling come first; a
# clause that says "they" stands behind the one that it refers to.
_REASONS: Final[dict[str, tuple[str, str]]] = {
    "max_utilization": ("a card stands at {{ max_utilization }} of its limit", "a card is close to its limit"),
    "any_overdue": ("", "a payment shows as past due"),
    "interest_charges_present": (
        "card interest came to {{ interest_charges }} in the {{ window }}",
        "card interest was charged in the {{ window }}",
    ),
    "avg_utilization": ("your cards together stand at {{ avg_utilization }} of their limits", ""),
    "minimum_payment_only_flag": ("", "the last payment on a card was close to the minimum"),
    "income_variability": (
        "your paychecks vary by about {{ income_variability }}",
        "your paychecks vary from payday to payday",
    ),
    "median_pay_gap_days": (
        "there are usually {{ pay_gap }} between your paydays",
        "there is often a long gap between your paydays",
    ),
    "cash_flow_buffer_months": (
        "your checking covers about {{ buffer_days }} of usual spending",
        "your checking covers little of your usual spending",
    ),
    "recurring_merchants": (
        "your payments in the {{ window }} show {{ subscription_count }}",
        "your payments show subscriptions",
    ),
    "monthly_recurring_spend": ("together they cost about {{ subscription_monthly }} a month", ""),
    "subscription_spend_share": ("they make up {{ subscription_share }} of your spending", ""),
    "savings_growth_rate": (
        "your savings grew by {{ savings_growth }} in the {{ window }}",
        "your savings grew in the {{ window }}",
    ),
    "net_savings_inflow": (
        "about {{ savings_inflow }} a month goes into your savings",
        "money goes into your savings",
    ),
    "emergency_fund_months": ("your savings would cover {{ fund_months }} of usual spending", ""),
    "avg_monthly_income": ("you earn about {{ monthly_pay }} a month", "you have a steady income"),
    "regular_income": ("about {{ monthly_income }} a month comes in", "you have a steady income"),
    "savings_balance": ("your savings hold {{ savings_balance }}", "you hold savings"),
    "investment_account_detected": ("", "you have an investment account"),
    "card_count": ("", "you owe nothing on credit cards"),
    "fees_180d": ("", "you paid no overdraft or late fee lately"),
    "utilization_30_flag": ("", "no card is near its limit"),
    "low_utilization": ("", "your card balances are low beside their limits"),
    "explained_share": ("", ""),  # how sure we are is no reason of the customer's
}
_TELLING: Final = {signal: rank for rank, signal in enumerate(_REASONS)}
_FIGURES: Final = {signal: frozenset(SLOT.findall(with_figure)) for signal, (with_figure, _) in _REASONS.items()}


_OF_INSIGHTS: Final[dict[str, str]] = {
    "past_due": "a payment on a card or loan is reported past due",
    "overdrawn": "a checking balance stands below zero",
    "low_balance_ahead": "payments that usually come would take your checking below zero before your next payday",
    "income_stopped": "a deposit that came regularly has stopped",
    "income_late": "a regular deposit has not come in yet",
    "bills_before_payday": "payments due before your next payday take a large part of your checking balance",
    "fees_charged": "the bank charged a fee lately",
    "duplicate_charge": "the same amount was charged again within days",
    "trial_became_paid": "a service that began with a small charge now charges its full price",
    "price_rise": "a regular payment of yours costs more than before",
    "bill_missing": "a bill that usually comes has not shown up",
    "bill_higher_than_usual": "a bill came in higher than usual",
    "bill_due_soon": "regular payments of yours are coming up",
    "annual_renewal_ahead": "a payment that comes only now and then is near",
    "minimum_only": "the last payment on a card was about its minimum",
    "dearest_first": "several of your cards carry a balance at different rates",
    "interest_paid": "card interest was charged lately",
    "income_changed": "your recent paychecks differ from those before",
    "windfall": "more than usual came in",
    "thin_cushion": "your checking and savings are low beside your usual spending",
    "savings_drop": "your savings went down lately",
    "unusual_spending": "spending in a category or a place was well above your usual",
    "fixed_costs_high": "regular bills take a large part of what comes in",
    "spending_above_income": "more went out than came in",
    "cash_withdrawals": "a large part of what you spent was taken out in cash",
    "interest_earned": "your bank paid you interest lately",
    "card_not_linked": "a card that you pay is not among the accounts we can see",
    "new_recurring": "a new regular payment began",
    "two_of_a_kind": "you pay for several services of one kind",
    "idle_cash": "your checking holds more than your usual spending needs for a while",
    "balance_falling": "your card balances have come down",
    "savings_milestone": "your savings passed a milestone",
}


def insight_rationale(insight: str) -> str:
    """Why a customer sees a text about an insight, in plain words; the figures are the text's own."""
    return f"You see this because {_OF_INSIGHTS[insight]}."


def rationale(reasons: str, persona: str, slots: Slots, *, is_fallback: bool, any_insight: bool = False) -> str:
    """Why this customer sees it, in plain words, with their figures still as slots; ``fill_slots`` completes it.

    From the reasons that were met, the three most telling. ``reasons``: JSON list of {clause, signal, value, operator,
    threshold, met}; the clause begins with its persona. "Nothing stood out" is said only of somebody without an
    insight, and where at least half of the rows are explained. A figure that cannot be shown is left out of the words.
    """
    if is_fallback and any_insight:
        return "You see this because it is a general starting point, useful beside what else we sent you."
    if is_fallback and any(r["signal"] == "explained_share" and not r["met"] for r in read(reasons)):
        return "You see this because it is a general starting point."
    if is_fallback:
        return "You see this because nothing in the {{ window }} stood out. It is a general starting point."
    said = _met(reasons, persona, slots)
    if not said:
        raise RenderError(f"the reasons of {persona} hold none that was met")
    return f"You see this because {_listed(said[:REASONS_AT_MOST])}."


def _met(reasons: str, persona: str, slots: Slots) -> list[str]:
    """The words for the persona's reasons that were met, the most telling first."""
    met = [r for r in read(reasons) if r["clause"].split(".")[0] == persona and r["met"]]
    met.sort(key=lambda reason: _TELLING[_words_for(reason)])
    return list(dict.fromkeys(text for reason in met if (text := _reason_text(reason, slots))))


_AGAINST: Final[dict[str, str]] = {
    "balance_transfer": "moving a balance costs a fee, and the rate goes up when the introductory period ends",
    "savings_hysa": "the rate is variable and can go down after you open the account",
    "certificate_of_deposit": "money taken out early costs interest",
    "money_market": "below a minimum balance, a fee or a lower rate may apply",
    "budgeting_app": "your bank's own app may show much of the same",
    "subscription_manager": "most subscriptions can be cancelled at the service itself, at no cost",
    "robo_advisor": "investments can lose value, and the fee is charged either way",
    "financial_coaching": "nonprofit counselors do much of this at no cost",
    "financial_planning": "it costs money whether or not you use the plan",
    "debt_counselling": "a repayment plan can have a monthly charge and may show on your credit record",
    "credit_builder": "it costs a fee, and late payments are reported too",
    "secured_card": "the deposit is tied up, and the rate is high when a balance is carried",
    "bill_negotiation": "you can ask your providers for a better price yourself and keep all of the difference",
    "insurance_review": "the service is paid by insurers and does not compare all of them",
    "direct_deposit_split": "a transfer you schedule yourself does the same",
    "credit_counseling": "it takes time, and a repayment plan may limit new credit for a while",
    "hardship_program": "a payment that is moved is still owed",
}
"""The strongest reason against each type of product."""
_AGAINST_ANY: Final = "you may not need it; compare it with what you have"


def offer_rationale(factors: str, slots: Slots, product_type: str, reasons: str = "[]", persona: str = "") -> str:
    """Why this customer sees an offer, from the factors that spoke for it, and the strongest reason against it; figures
    still as slots. Where no factor has a figure that can be shown, the persona's first reason that has one stands in.

    ``factors``: JSON list of {signal, value, operator, threshold, points}. What spoke against it is no
    reason to see it, and what cannot be computed for this customer is left out.
    """
    said: list[str] = []
    for factor in read(factors):
        if factor["points"] >= 0 and factor["value"] is not False:
            text = _reason_text(factor, slots)
            if text and text not in said:
                said.append(text)
    if not any(map(SLOT.search, said)):
        said += [text for text in _met(reasons, persona, slots) if SLOT.search(text)][:1]
    matched = "your accounts match the criteria that the partner has published"
    against = _AGAINST.get(product_type, _AGAINST_ANY)
    return f"You see this because {_listed([*said, matched])}. What speaks against it: {against}."


def help_rationale(product_type: str) -> str:
    """Why somebody in trouble sees free help, and what speaks against it."""
    return (
        "You see this because money looks tight at the moment, and this help is free. "
        f"What speaks against it: {_AGAINST.get(product_type, _AGAINST_ANY)}."
    )


def render_offer(because: str, slots: Slots) -> tuple[str, str]:
    """Title and text of a partner offer, from the product's fields as slots (``product_slots``) and the figures'."""
    title, body, terms = about_product(slots)
    content = closed(body, because, "shared_account" in slots, EDUCATION_DISCLOSURE, terms)
    return title, fill_slots(content, slots)


def about_product(slots: Slots) -> tuple[str, str, str]:
    """What an offer says of a product, which is the same for everybody: title, text, and the disclosure of terms."""
    lines = ["{{ product_description }}"]
    if "product_benefits" in slots:
        lines.append("What it offers: {{ product_benefits }}.")
    if "product_terms" in slots:
        lines.append("As advertised: {{ product_terms }}.")
    helps = slots["product_kind"]["shown"] == FREE_HELP
    if not helps:
        lines.append(
            "Your accounts match the published criteria for this product. The decision on any request is the "
            "partner's, and it may look at more than we can see."
        )
    if "product_link" in slots:
        lines.append("You can read more here: {{ product_link }}")
    if "product_disclosure" in slots:
        lines.append(f"{'Good to know' if helps else 'From the partner'}: {{{{ product_disclosure }}}}")
    title = "{{ product_kind }}: {{ product_name }}"
    if "product_partner" in slots:
        title += " from {{ product_partner }}"
    terms = f"{OFFER_DISCLOSURE} {COMPENSATION}" if "product_compensation" in slots else OFFER_DISCLOSURE
    return fill_slots(title, slots), fill_slots("\n\n".join(lines), slots), terms


def product_slots(product: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of a product that an offer shows, as slots; unknown fields are left out.

    They are kept with the draft, so that a later catalogue cannot rewrite what was shown.
    """
    benefits = json.loads(product["benefits"]) if isinstance(product["benefits"], str) else []
    commission = product.get("commission_rate")
    fields = {
        "product_kind": FREE_HELP if product["product_type"] in HELP else "A partner offer",
        "product_compensation": COMPENSATION if isinstance(commission, float) and commission > 0 else None,
        "product_name": product["product_name"],
        "product_partner": product["partner_name"],
        "product_description": product["short_description"],
        "product_benefits": "; ".join(str(benefit).strip().rstrip(".") for benefit in benefits),
        "product_terms": product["typical_apy_or_fee"],
        "product_link": product["partner_link"],
        "product_disclosure": product["disclosure"],
    }
    kept = {name: text.strip() for name, text in fields.items() if isinstance(text, str) and text.strip()}
    if "product_terms" in kept:
        kept["product_terms"] = kept["product_terms"].rstrip(".")
    return {name: {"signal": "products", "value": text, "shown": text} for name, text in kept.items()}


def _listed(said: list[str]) -> str:
    if len(said) <= 2:
        return " and ".join(said)
    return f"{', '.join(said[:-1])}, and {said[-1]}"


def _words_for(reason: Mapping[str, Any]) -> str:
    """Its key in ``_REASONS``: the signal, or what a low value of it means. Raises RenderError where there is none."""
    signal = str(reason["signal"])
    if signal == "max_utilization" and reason["operator"].startswith("<"):
        return "low_utilization"
    if signal not in _REASONS:
        raise RenderError(f"no words for the signal {signal}; add them beside the others")
    return signal


def _reason_text(reason: Mapping[str, Any], slots: Slots) -> str:
    signal = _words_for(reason)
    if signal == "card_count" and reason["value"]:
        return ""
    with_figure, without = _REASONS[signal]
    if with_figure and _FIGURES[signal] <= slots.keys():
        return with_figure
    return without

"""Whether texts that one customer reads on one day contradict one another or one another's figures.

    python -m benchmarks.slates [--users N] [--seed S] [--setting NAME]

A day is made of generated customers, offers included, and each slate is read by other rules than those that chose it:
what a text says is told by its words and its insight, what an offer is by its product, and what may not be said
together stands in ``OPPOSITES``. What does not belong here: choosing (``recommendations/choosing.py``).
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click
import pandas as pd

from benchmarks.figures import drafted
from benchmarks.insights import SETTINGS, accepted
from spendsense_pipeline.features.compilation import make_ready
from spendsense_pipeline.features.compiled import Mode, choose
from spendsense_pipeline.settings import Settings

SAID_BY: Final[Mapping[str, frozenset[str]]] = {
    "late": frozenset({"past_due"}),
    "short now": frozenset({"overdrawn", "low_balance_ahead", "income_stopped"}),
    "short by the month": frozenset({"fixed_costs_high", "spending_above_income", "income_late"}),
    "thin": frozenset({"thin_cushion", "overdrawn", "low_balance_ahead"}),
    "plenty": frozenset({"idle_cash"}),
    "pay stopped": frozenset({"income_stopped", "income_late"}),
    "more pay": frozenset({"windfall"}),
    "savings fell": frozenset({"savings_drop"}),
}
"""What an insight says, whatever the text."""
WORDS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "short now": r"is missing in checking|so about \S+ is missing",
        "praise": r"did, it is working|real progress|good news from your cards|solid fund|savings have passed"
        r"|you are there\b|a full fund can stay|a strong base|a real cushion|that has come down by|base is in place"
        r"|so over time there is room|is left after spending|of it is left|paid you",
        "savings grow": r"savings grew|savings have passed|goes into your savings|you add about|adding about",
        "put aside": r"transfer (?:of \S+ )?to savings|move it to savings|transfer for the day after payday|to savings "
        r"each payday|amount to savings|going into savings each|small transfer for each payday|a better rate"
        r"|CD terms?\b|rate of another bank|pot of its own|automatic monthly transfer|transfer of part of",
        "more on a card": r"extra payment|beyond the minimum|above the minimum|to your next payment|next card payment, "
        r"and see|bit more each month|what you can spare to your|compare its larger payment|send it to this card",
        "left over": r"would be left, before any|to spare\.",
        "fees": r"such fees|fees of this kind|fees like this",
        "nothing stood out": r"nothing in the last .* stood out|stood out",
    }.items()
}  # fmt: skip
OFFERED: Final[Mapping[str, str]] = {
    "credit": "offer of credit",
    "investing": "offer to invest",
    "savings": "offer to save",
    "help": "free help",
}
"""What an offer says by its product's category."""
OPPOSITES: Final = tuple(
    frozenset(pair)
    for left, rights in {
        "late": ("praise", "savings grow", "put aside", "more on a card", "plenty", "more pay", "offer of credit",
                 "offer to invest", "offer to save", "paid offer"),
        "short now": ("praise", "savings grow", "put aside", "more on a card", "left over", "plenty", "more pay",
                      "offer of credit", "offer to invest", "offer to save", "paid offer"),
        "short by the month": ("praise", "savings grow", "put aside", "plenty", "offer of credit", "offer to invest",
                               "offer to save"),
        "thin": ("praise", "savings grow", "plenty", "left over", "offer to invest", "paid offer"),
        "pay stopped": ("more pay",),
        "savings fell": ("savings grow",),
        "plenty": ("free help",),
        "free help": ("praise", "offer of credit", "offer to invest", "paid offer"),
        "more on a card": ("put aside", "offer to invest"),
        "nothing stood out": ("late", "short now", "short by the month", "thin", "plenty", "savings fell", "fees"),
    }.items()
    for right in rights
    for pair in ((left, right),)
)  # fmt: skip
SAME: Final[Mapping[str, str]] = {
    **dict.fromkeys(("monthly_expenses", "spending_monthly"), "spending a month"),
    **dict.fromkeys(("monthly_income", "income_monthly"), "income a month"),
    **dict.fromkeys(("savings_balance", "savings_now"), "savings"),
    **{name: name for name in ("checking_balance", "card_balance", "next_payday", "interest_paid", "balance_on")},
}
"""Slots that name the same figure: one amount on one slate."""
CARDS: Final = ("card", "fullest_card", "highest_rate_card")
"""Slots that say on which card money does the most."""


def says(draft: Mapping[str, Any], products: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What one draft says."""
    if draft["content_type"] == "partner_offer":
        product = products[draft["product_id"]]
        said = {OFFERED.get(product["category"], "offer")}
        return said | ({"paid offer"} if product["category"] != "help" and product["cost_monthly"] != 0 else set())
    text = f"{draft['title']} {draft['content']}"
    return {name for name, pattern in WORDS.items() if pattern.search(text)} | {
        name for name, insights in SAID_BY.items() if draft["insight"] in insights
    }


def contradictions(slate: Iterable[Mapping[str, Any]], products: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What contradicts in one customer's drafts of a day, in words."""
    found = []
    read = [(draft, says(draft, products), *_shown(draft)) for draft in slate]
    for (one, said, shown, card), (other, heard, seen, another) in itertools.combinations(read, 2):
        names = " + ".join(sorted(each["template_id"] for each in (one, other)))
        for here, there in itertools.product(said - heard, heard - said):
            if frozenset((here, there)) in OPPOSITES:
                found.append(f"{' / '.join(sorted((here, there)))}: {names}")
        for figure in shown.keys() & seen.keys():
            if shown[figure] != seen[figure]:
                found.append(f"{figure} is {shown[figure]} and {seen[figure]}: {names}")
        if "more on a card" in said | heard and card and another and card != another:
            found.append(f"one card and another: {names}")
    return found


def _shown(draft: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The figures that a draft's text shows, by what they are called in ``SAME``, and the cards it names."""
    text = draft["title"] + draft["content"]
    slots = {name: slot["shown"] for name, slot in json.loads(draft["slots"]).items() if slot["shown"] in text}
    return {SAME[name]: shown for name, shown in slots.items() if name in SAME}, [
        slots[name] for name in CARDS if name in slots
    ]


def of_day(made: Mapping[str, pd.DataFrame]) -> Counter[str]:
    """What contradicts in a day's drafts (``benchmarks.figures.drafted``), and how often."""
    products = {row["product_id"]: row for row in made["products"].to_dict("records")}
    return Counter(
        each
        for _, slate in made["drafts"].groupby("user_id")
        for each in contradictions(slate.to_dict("records"), products)
    )


@click.command()
@click.option("--users", default=3_400, show_default=True)
@click.option("--seed", default=5, show_default=True)
@click.option("--setting", "settings", type=click.Choice(list(SETTINGS)), multiple=True, help="default: all")
def main(users: int, seed: int, settings: tuple[str, ...]) -> None:
    """Print how many slates were read, and what contradicts in them."""
    cache = Settings().kernels_folder
    make_ready(cache, None)
    choose(Mode(cache))
    for setting in settings or tuple(SETTINGS):
        made = drafted(accepted(SETTINGS[setting](users, seed)))
        found = of_day(made)
        print(f"{setting}: {made['drafts']['user_id'].nunique()} slates, {found.total()} contradictions", flush=True)
        print(*(f"{times:6} {each}" for each, times in found.most_common()), sep="\n")


if __name__ == "__main__":
    main()

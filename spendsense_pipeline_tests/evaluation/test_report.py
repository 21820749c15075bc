"""The record of a day as a document: what it holds, that it loads and runs nothing, that no customer is on it.

How it looks in a browser is tested in ``browser/``.
"""

import base64
import datetime as dt
import hashlib
import html.parser
import itertools
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.evaluation.metrics import decisions_by_operator, evaluation_metrics
from spendsense_pipeline.evaluation.report import HISTORY, SMALLEST_GROUP, number, operator_report
from spendsense_pipeline_tests.evaluation.conftest import DAY, personas

VOID = ("meta", "br", "link", "img", "input", "rect", "polyline")


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; open tags that never close are kept."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.styles: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self.text += data


def page(facts: dict[str, Any]) -> Page:
    return Page(operator_report(DAY, **facts))


def squeezed(facts: dict[str, Any]) -> str:
    return "".join(page(facts).text.split())


def lines(facts: dict[str, Any]) -> list[str | None]:
    return [attributes["points"] for tag, attributes in page(facts).tags if tag == "polyline"]


def test_the_queue_is_on_it_in_figures(facts: dict[str, Any]):
    text = squeezed(facts)
    for shown in ("Waiting4", "Withfindings2", "Expirein3days1", "oldestwaits9days", "today3", "7to10days1"):
        assert shown in text, shown


def test_totals_consent_funnel_blockers_personas_and_the_audit_head_are_on_it(facts: dict[str, Any]):
    text = squeezed(facts)
    for shown in ("Customers4", "Withconsent3", "registered10", "approvedoroverridden2", "released5",
                  "releasedandstanding2", "consentrevoked2", "expired3", "educationandoffers1", "educationonly2",
                  "nothing1", "nopersonamatched250%none125%", "12rows", "f" * 64):  # fmt: skip
        assert shown in text, shown


def test_what_ended_is_counted_by_status_before_release_and_by_cause_after(facts: dict[str, Any]):
    text = squeezed(facts)
    assert "rejected3superseded0expired1voided0" in text
    assert "Alldays,afterreleaserevoked2lapsed1" in text


def test_what_came_back_is_counted_by_kind(facts: dict[str, Any]):
    assert "seen6wrongfigure1" in squeezed(facts)


def test_refused_offers_writing_and_decisions_by_operator_are_on_it(facts: dict[str, Any]):
    text = squeezed(facts)
    for shown in ("hassavings22", "belowminincome11", "2piecesbylibrary", "op_11100", "op_20012"):
        assert shown in text, shown


def test_what_language_models_took_is_on_it(facts: dict[str, Any]):
    took = {"model": "m-1", "written": 3, "failed": 1, "requests": 5, "tokens": 4200, "latency_ms": [1000.0, 3000.0]}
    models = [took | {"cost": 0.0123}, took | {"model": "m-2", "cost": None, "latency_ms": []}]
    facts["review"] = replace(facts["review"], models=models)
    assert "m-1314,200$0.01232,000ms2,900ms" in squeezed(facts)
    assert "m-2314,200unknown––" in squeezed(facts)


def test_movement_between_the_windows_is_counted(facts: dict[str, Any]):
    facts["personas_180d"] = personas(180, dict.fromkeys(facts["personas_180d"]["user_id"], ("variable_income", False)))
    # wealth, utilization, savings, variable, subscription, none: by 30 days
    assert "variableincome011002" in squeezed(facts)


def test_metrics_and_personas_have_their_history_and_shares_are_written_as_per_cent(facts: dict[str, Any]):
    assert "coverage66.7%2/3" in squeezed(facts)
    assert "nothingtomeasure" in squeezed(facts)
    assert lines(facts) == []
    earlier = facts["metrics"].assign(as_of=DAY - dt.timedelta(days=1), value=0.5)
    facts["history"] = earlier[earlier["metric"].isin(["coverage", "persona_30d_wealth_builder"])]
    # Personas stand first: nobody is a wealth builder now, half a one was. Coverage rose from 0.5 to 0.667.
    assert lines(facts) == ["2.0,2.0 98.0,22.0", "2.0,22.0 98.0,2.0"]
    assert "2 dates from 2026-03-30, lowest 50.0 %, highest 66.7 %" in operator_report(DAY, **facts)


def test_a_line_shows_the_newest_dates_whatever_order_they_come_in(facts: dict[str, Any]):
    coverage = facts["metrics"][facts["metrics"]["metric"] == "coverage"]
    days = [DAY - dt.timedelta(days=n) for n in range(1, HISTORY + 6)]
    facts["history"] = pd.concat([coverage.assign(as_of=day) for day in days])
    assert f"{HISTORY + 1} dates from {DAY - dt.timedelta(days=HISTORY)}" in operator_report(DAY, **facts)


def test_fairness_is_shown_by_group_with_counts_but_not_of_a_group_of_a_few(facts: dict[str, Any]):
    text = squeezed(facts)
    assert "Byincomeband" in text
    assert f"365ormorefewerthan{SMALLEST_GROUP}" in text  # four customers
    assert "under60days––" in text  # nobody
    groups = facts["metrics"]["dimension"].notna() & (facts["metrics"]["denominator"] > 0)
    facts["metrics"].loc[groups, "denominator"] = SMALLEST_GROUP
    assert f"365ormore0%of{SMALLEST_GROUP}25%of{SMALLEST_GROUP}" in squeezed(facts)


def test_no_customer_is_on_it(facts: dict[str, Any]):
    review = facts["review"]
    before = operator_report(DAY, **facts)

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(user_id="customer-" + frame["user_id"]) if "user_id" in frame else frame

    for name in [name for name, value in facts.items() if isinstance(value, pd.DataFrame)]:
        facts[name] = renamed(facts[name])
    facts["review"] = replace(review, consents=renamed(review.consents), decisions=renamed(review.decisions))
    assert operator_report(DAY, **facts) == before


def test_the_page_loads_and_runs_nothing(facts: dict[str, Any]):
    whole = operator_report(DAY, **facts)
    rendered = Page(whole)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in rendered.tags}
    for _, attributes in rendered.tags:
        assert not {"src", "style", "action", "formaction"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|https?://", whole)


def test_the_policy_allows_exactly_the_style_that_stands_there(facts: dict[str, Any]):
    rendered = page(facts)
    (policy,) = [a["content"] for tag, a in rendered.tags if tag == "meta" and "http-equiv" in a]
    digest = base64.b64encode(hashlib.sha256(rendered.styles[0].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


EVIL = "</style><script>alert(1)</script><!--\"'><b onclick=x>&amp;\u2028{{ 7 * 7 }}"


def test_what_others_wrote_is_text(facts: dict[str, Any]):
    facts["templates"] = facts["templates"].assign(model=EVIL)
    facts["matches"] = facts["matches"].assign(refused="[]")
    decisions = facts["review"].decisions.assign(operator_id=EVIL)
    facts["review"] = replace(facts["review"], blocked={EVIL: 1}, recalls={EVIL: 1}, decisions=decisions)
    rendered = page(facts)
    assert not {"script", "b"} & {tag for tag, _ in rendered.tags}
    assert rendered.text.count(EVIL) == 1 + 1 + 1 + len(decisions)


def test_every_tag_is_closed_every_heading_in_order_and_every_link_leads_somewhere(facts: dict[str, Any]):
    rendered = page(facts)
    assert rendered.open == []
    levels = [int(tag[1]) for tag, _ in rendered.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert ("html", {"lang": "en"}) in rendered.tags
    ids = [attributes["id"] for _, attributes in rendered.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(attributes["href"] or "")[1:] for tag, attributes in rendered.tags if tag == "a"} <= set(ids)
    assert {a["aria-labelledby"] for _, a in rendered.tags if "aria-labelledby" in a} <= set(ids)


def test_the_page_says_where_texts_are_decided_on(facts: dict[str, Any]):
    text = page(facts).text
    for place in ("spendsense serve", "/desk", "spendsense queue", "review_recommendations"):
        assert place in text


def test_a_day_on_which_nothing_happened_is_a_page_too(facts: dict[str, Any]):
    facts |= {name: value.iloc[:0] for name, value in facts.items() if isinstance(value, pd.DataFrame)}
    facts["review"] = replace(
        facts["review"],
        consents=facts["review"].consents.iloc[:0],
        waiting={"waiting": 0, "near_expiry": 0, "with_findings": 0, "oldest_hours": None},
        statuses={},
        released=0,
        recalls={},
        feedback={"seen": 0, "wrong_figure": 0},
        blocked={},
        decisions=facts["review"].decisions.iloc[:0],
    )
    text = page(facts).text
    for shown in (
        "Nothing waits for a decision.",
        "Nothing is held back.",
        "No release has ended.",
        "Nothing came back about a release yet.",
        "Nobody has decided anything yet.",
        "No product was refused to anybody.",
    ):
        assert shown in text


def test_the_same_facts_give_the_same_page(facts: dict[str, Any]):
    assert operator_report(DAY, **facts) == operator_report(DAY, **facts)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (100.0, "100"), (1234.5, "1,234.5"), (0.667, "0.67"), (-3.0, "-3")]
)
def test_a_number_has_no_decimals_that_say_nothing(value: float, shown: str):
    assert number(value) == shown


def test_decisions_by_operator_count_what_stands(day: dict[str, Any]):
    rows = decisions_by_operator(day["decisions"]).to_dict("records")
    assert rows == [
        {"operator_id": "op_1", "approve": 1, "override": 1, "reject": 0, "undone": 0, "hours": 3.0},
        {"operator_id": "op_2", "approve": 0, "override": 0, "reject": 1, "undone": 2, "hours": 6.0},
    ]


def test_the_metrics_of_an_operator_nobody_undid_are_whole_numbers(day: dict[str, Any]):
    day["decisions"] = day["decisions"][day["decisions"]["action"] != "undo"]
    assert decisions_by_operator(day["decisions"])["undone"].tolist() == [0, 0]
    assert evaluation_metrics(**day) is not None

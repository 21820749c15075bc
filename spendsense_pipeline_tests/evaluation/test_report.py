"""The operators' desk as a document: what it holds, that it loads nothing, that nothing written in it can run.

How it behaves in a browser is tested in ``browser/``.
"""

import base64
import datetime as dt
import hashlib
import html.parser
import itertools
import json
import re
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.evaluation.metrics import decisions_by_operator, evaluation_metrics
from spendsense_pipeline.evaluation.report import CUSTOMERS_AT_MOST, ITEMS_AT_MOST, figure, operator_report
from spendsense_pipeline_tests.evaluation.conftest import DAY, NOON, personas, waiting


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; open tags that never close are kept. ``data``: what the script reads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(page)
        self.data: dict[str, Any] = json.loads(self.scripts[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link", "img", "input", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside in ("script", "style"):
            (self.scripts if inside == "script" else self.styles).append(data)
        else:
            self.text += data


def page(facts: dict[str, Any]) -> Page:
    return Page(operator_report(DAY, **facts))


def squeezed(facts: dict[str, Any]) -> str:
    return "".join(page(facts).text.split())


def test_a_waiting_text_stands_beside_its_figures_its_reasons_and_its_findings(facts: dict[str, Any]):
    (item,) = page(facts).data["items"]
    assert (item["title"], item["content"]) == ("Lowering a card balance 1", "First line.\nSecond line: $1,234.50.")
    assert item["slots"] == [
        {"name": "interest", "shown": "$1,234.50", "signal": "interest charges", "value": "1,234.50", "order": 1234.5}
    ]
    # Not a criterion of another persona, nor one that was not met.
    assert item["reasons"] == ["max utilization 85.3 % (≥ 50.0 %)"]
    assert item["findings"] == [["notable", "tone", "A long sentence."]]
    assert (item["age"], item["near"], item["severity"]) == ("2 days", False, 1)


def test_every_item_carries_the_whole_hash_of_the_text_that_is_read(facts: dict[str, Any]):
    (item,) = page(facts).data["items"]
    assert (item["id"], item["hash"]) == ("rec_1", "c" * 64)


def test_a_template_shows_its_lowest_and_highest_figures_and_for_whom(facts: dict[str, Any]):
    amounts = {1: (90.0, "$90"), 2: (1200.0, "$1,200"), 3: (12.5, "$12.50")}
    facts["queue"] = [
        waiting(n, slots={"interest": {"signal": "interest_charges", "value": value, "shown": shown}})
        for n, (value, shown) in amounts.items()
    ]
    assert page(facts).data["templates"] == {
        f"t1 {'1' * 12}": [{"name": "interest", "low": ["$12.50", "rec_3"], "high": ["$1,200", "rec_2"]}]
    }


def test_other_words_of_a_template_are_a_wording_of_their_own(facts: dict[str, Any]):
    facts["queue"] = [
        waiting(1, wording_approved=True),
        waiting(2, template_hash="2" * 64),
        waiting(3, template_id="t2"),
    ]
    rendered = page(facts)
    assert [item["approved"] for item in rendered.data["items"]] == [True, False, False]
    assert len({(item["template"], item["version"]) for item in rendered.data["items"]}) == 3
    assert "Newwordings2" in squeezed(facts)


def test_what_language_models_took_is_said(facts: dict[str, Any]):
    took = {"model": "m-1", "written": 3, "failed": 1, "requests": 5, "tokens": 4200, "latency_ms": [1000.0, 3000.0]}
    facts["spent"] = [took | {"cost": 0.0123}, took | {"model": "m-2", "cost": None, "latency_ms": []}]
    assert "m-1314,200$0.01232,000ms2,900ms" in squeezed(facts)
    assert "m-2314,200unknown––" in squeezed(facts)


def test_what_expires_within_three_days_is_marked(facts: dict[str, Any]):
    facts["queue"] = [waiting(1, expires_at=NOON + dt.timedelta(days=3)), waiting(2)]
    assert [item["near"] for item in page(facts).data["items"]] == [True, False]
    assert "Expirein3days1" in squeezed(facts)


def test_an_override_that_waits_for_other_eyes_shows_who_wrote_it_and_what_stood_before(facts: dict[str, Any]):
    facts["queue"] = [waiting(author="op_2", original={"title": "Before", "content": "The pipeline's words."})]
    (item,) = page(facts).data["items"]
    assert (item["author"], item["original"]["title"]) == ("op_2", "Before")


def test_customers_are_shown_by_id_with_consent_personas_signals_and_streams(facts: dict[str, Any]):
    a, b, *_ = page(facts).data["customers"]
    assert (a["id"], a["consent"], a["personas"]) == (
        "a",
        ["education", "partner offers"],
        ["high utilization", "high utilization"],
    )
    assert b["personas"] == ["no persona matched", "variable income"]
    assert ["max utilization", "85.0 %", "85.0 %"] in a["signals"]
    assert ["avg utilization", "–", "–"] in a["signals"]
    assert a["streams"] == [["Video Box", "subscription", "monthly", "mature", "7", "-12.99", "12.99", "2026-03-20"]]


def test_totals_consent_funnel_blockers_personas_and_the_audit_head_are_on_it(facts: dict[str, Any]):
    text = squeezed(facts)
    for said in ("Waiting1", "Notable1", "Withconsent3", "registered6", "approvedoroverridden2", "released5",
                 "releasedandstanding4", "consentrevoked2", "expired3", "educationandoffers1", "educationonly2",
                 "nothing1", "nopersonamatched250%125%", "12rows", "f" * 64):  # fmt: skip
        assert said in text, said


def test_refused_offers_writing_and_decisions_by_operator_are_on_it(facts: dict[str, Any]):
    text = squeezed(facts)
    for said in ("hassavings22", "belowminincome11", "2piecesbylibrary", "op_11100", "op_20012"):
        assert said in text, said


def test_movement_between_the_windows_is_counted(facts: dict[str, Any]):
    facts["personas_180d"] = personas(180, dict.fromkeys(facts["personas_180d"]["user_id"], ("variable_income", False)))
    # wealth, utilization, savings, variable, subscription, none: by 30 days
    assert "variableincome011002" in squeezed(facts)


def test_metrics_have_their_history_and_shares_are_written_as_per_cent(facts: dict[str, Any]):
    assert "coverage66.7%2/3" in squeezed(facts)
    assert "nothingtomeasure" in squeezed(facts)
    lines = [attributes for tag, attributes in page(facts).tags if tag == "polyline"]
    assert lines == []
    earlier = facts["metrics"].assign(as_of=DAY - dt.timedelta(days=1), value=0.5)
    facts["history"] = earlier[earlier["metric"] == "coverage"]
    (line,) = [attributes for tag, attributes in page(facts).tags if tag == "polyline"]
    assert line["points"] == "2.0,22.0 98.0,2.0"  # from 0.5, the lowest, to 0.667, the highest


def test_fairness_is_shown_by_group_with_counts(facts: dict[str, Any]):
    text = squeezed(facts)
    assert "Fairnessbyincomeband" in text
    assert "365ormore0%of425%of4" in text  # nobody with wealth, one of four with strain


def test_the_page_loads_nothing_and_runs_nothing_but_its_own_script(facts: dict[str, Any]):
    whole = operator_report(DAY, **facts)
    rendered = Page(whole)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in rendered.tags}
    for _, attributes in rendered.tags:
        assert not {"src", "style", "action", "formaction"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"url\(|@import|https?://", whole)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|fetch\(|XMLHttp", whole)


def test_the_policy_allows_exactly_the_style_and_the_script_that_stand_there(facts: dict[str, Any]):
    rendered = page(facts)
    (policy,) = [a["content"] for tag, a in rendered.tags if tag == "meta" and "http-equiv" in a]

    def digest(source: str) -> str:
        return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest(rendered.styles[0])}'; "
        f"script-src 'sha256-{digest(rendered.scripts[1])}'"
    )


EVIL = "</script><script>alert(1)</script><!--<script>\"'><b onclick=x>&amp;\u2028{{ 7 * 7 }}"


def test_what_is_written_in_a_text_or_by_a_payee_is_text(facts: dict[str, Any]):
    clean = page(facts)
    facts["queue"] = [
        waiting(title=EVIL, content=EVIL, rationale=EVIL, user_id=EVIL, template_id=EVIL,
                slots={EVIL: {"signal": EVIL, "value": EVIL, "shown": EVIL}},
                findings=[{"check": EVIL, "severity": EVIL, "message": EVIL}])
    ]  # fmt: skip
    facts["streams"] = facts["streams"].assign(merchant=EVIL)
    facts["blocked"] = {EVIL: 1}
    facts["operators"] = [EVIL]
    facts["templates"] = facts["templates"].assign(model=EVIL)
    rendered = page(facts)
    count = sum(tag == "script" for tag, _ in clean.tags)
    assert sum(tag == "script" for tag, _ in rendered.tags) == count == 2
    assert "b" not in {tag for tag, _ in rendered.tags}
    assert rendered.data["items"][0]["title"] == EVIL
    assert rendered.data["customers"][0]["streams"][0][0] == EVIL.replace("_", " ")
    assert EVIL in rendered.text


def test_no_name_and_no_address_gets_on_it(facts: dict[str, Any]):
    assert "full_name" not in operator_report(DAY, **facts)
    assert "@" not in page(facts).text.replace("@HASH", "")


def test_every_tag_is_closed_every_heading_in_order_and_every_field_labelled(facts: dict[str, Any]):
    rendered = page(facts)
    assert rendered.open == []
    levels = [int(tag[1]) for tag, _ in rendered.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert ("html", {"lang": "en"}) in rendered.tags
    ids = [attributes["id"] for _, attributes in rendered.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(attributes["href"] or "")[1:] for tag, attributes in rendered.tags if tag == "a"} <= set(ids)
    labelled = {attributes.get("for") for tag, attributes in rendered.tags if tag == "label"} | {"keys-on"}
    fields = [attributes["id"] for tag, attributes in rendered.tags if tag in ("input", "select", "textarea")]
    assert set(fields) <= labelled


def test_a_long_queue_is_cut_and_says_so_while_the_totals_count_all(facts: dict[str, Any]):
    facts |= {
        "queue": [waiting(n) for n in range(ITEMS_AT_MOST + 1)],
        "statuses": {"pending_approval": ITEMS_AT_MOST + 7},
    }
    rendered = page(facts)
    assert len(rendered.data["items"]) == ITEMS_AT_MOST
    assert f"The {ITEMS_AT_MOST:,} most urgent of {ITEMS_AT_MOST + 7:,}" in rendered.text


def test_of_many_customers_those_with_something_waiting_are_shown(facts: dict[str, Any]):
    names = [f"u{n:05}" for n in range(CUSTOMERS_AT_MOST + 3)]
    features = pd.concat([facts["features_30d"].iloc[:1].assign(user_id=name) for name in names], ignore_index=True)
    facts |= {"features_30d": features, "queue": [waiting(user_id=names[-1])]}
    rendered = page(facts)
    shown = [one["id"] for one in rendered.data["customers"]]
    assert len(shown) == CUSTOMERS_AT_MOST
    assert names[-1] in shown
    assert names[-2] not in shown
    assert f"{CUSTOMERS_AT_MOST:,} of {CUSTOMERS_AT_MOST + 3:,} are on this page" in rendered.text


def test_a_day_on_which_nothing_waits_is_a_page_too(facts: dict[str, Any]):
    emptied = {name: value.iloc[:0] for name, value in facts.items() if isinstance(value, pd.DataFrame)}
    facts |= emptied | {"queue": [], "statuses": {}, "blocked": {}, "releases": {"released": 0, "recalled": 0}}
    text = page(facts).text
    for said in ("Nothing waits for a decision", "Nothing is held back.", "Nobody has decided anything yet."):
        assert said in text


def test_the_same_facts_give_the_same_page(facts: dict[str, Any]):
    assert operator_report(DAY, **facts) == operator_report(DAY, **facts)


@pytest.mark.parametrize(
    ("value", "signal", "shown"),
    [
        (None, "", "–"),
        (float("nan"), "max_utilization", "–"),
        (True, "any_overdue", "yes"),
        (0.5, "max_utilization", "50.0 %"),
        (1234.5, "savings_balance", "1,234.50"),
        (6, "recurring_merchants", "6"),
        (DAY, "last_date", "2026-03-31"),
    ],
)
def test_a_figure_is_written_in_its_unit(value: Any, signal: str, shown: str):
    assert figure(value, signal) == shown


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

"""The operators' page: everything needed to decide, nothing loaded from elsewhere, nothing that can run."""

import html.parser
import itertools
import json
from typing import Any

import pytest

from spendsense_pipeline.evaluation.metrics import evaluation_metrics
from spendsense_pipeline.evaluation.report import SHOWN_AT_MOST, operator_report
from spendsense_pipeline_tests.evaluation.conftest import DAY, NOON

CONFIG = "ops:\n  operator_review:\n    config:\n      operator: op_1\n"


def waiting(number: int = 1, **given: Any) -> dict[str, Any]:
    reasons = [
        {"clause": "high_utilization.strain", "signal": "max_utilization", "value": 0.853, "operator": ">=",
         "threshold": 0.5, "met": True},
        {"clause": "high_utilization.strain", "signal": "any_overdue", "value": None, "operator": "==",
         "threshold": True, "met": False},
        {"clause": "subscription_heavy.many", "signal": "recurring_merchants", "value": 9, "operator": ">=",
         "threshold": 3, "met": True},
    ]  # fmt: skip
    slots = {"interest": {"signal": "interest_charges", "value": 1234.5, "shown": "$1,234.50"}}
    return {
        "recommendation_id": f"rec_{number}", "user_id": "customer-1", "as_of": str(DAY), "persona": "high_utilization",
        "content_type": "education", "title": f"Lowering a card balance {number}",
        "content": "First line.\nSecond line.",
        "rationale": "You see this because a card balance was high.", "content_hash": "c" * 64, "template_id": "t1",
        "findings": [{"check": "tone", "severity": "notable", "message": "A long sentence."}],
        "slots": json.dumps(slots), "reasons": json.dumps(reasons), "age_hours": 49.0, "status": "pending_approval",
    } | given  # fmt: skip


@pytest.fixture
def facts(day: dict[str, Any]) -> dict[str, Any]:
    return {
        "generated_at": NOON, "customers": 4, "consent": {"education": 3, "partner_offers": 1},
        "personas_30d": day["personas_30d"], "personas_180d": day["personas_180d"], "queue": [waiting()],
        "statuses": {"pending_approval": 1, "approved": 2}, "released": 5, "recalled": 1,
        "blocked": {"consent_revoked": 2, "expired": 3}, "metrics": evaluation_metrics(**day),
        "audit_head": {"count": 12, "hash": "f" * 64}, "review_config": CONFIG,
    }  # fmt: skip


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; open tags that never close are kept."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(facts: dict[str, Any]) -> Page:
    return Page(operator_report(DAY, **facts))


def test_a_waiting_text_stands_beside_its_figures_its_reasons_and_its_findings(facts: dict[str, Any]):
    text = page(facts).text
    for said in ("Lowering a card balance 1", "First line.\nSecond line.", "$1,234.50", "1,234.50", "A long sentence.",
                 "max utilization 85.3 % (≥ 50.0 %)", "waiting 2 days", "tone"):  # fmt: skip
        assert said in text
    assert "recurring merchants" not in text  # a criterion of another persona
    assert "any overdue" not in text  # not met


def test_the_page_says_how_to_decide_on_exactly_what_was_read(facts: dict[str, Any]):
    text = page(facts).text
    assert f"spendsense approve rec_1@{'c' * 64} --operator" in text
    assert CONFIG.strip() in text


def test_a_text_with_a_critical_finding_comes_with_no_line_that_approves_it(facts: dict[str, Any]):
    facts["queue"] = [waiting(findings=[{"check": "tone", "severity": "critical", "message": "It blames."}])]
    text = page(facts).text
    assert "spendsense approve rec_1@" not in text
    assert "spendsense override rec_1 " in text


def test_totals_blockers_personas_metrics_and_the_audit_head_are_on_it(facts: dict[str, Any]):
    text = "".join(page(facts).text.split())
    for said in ("2approved", "5released", "1recalled", "consentrevoked2", "expired3", "Released,standing4",
                 "nopersonamatched2", "coverage66.7%2/3", "nothingtomeasure", "12rows", "f" * 64):  # fmt: skip
        assert said in text


def test_the_page_loads_nothing_and_runs_nothing(facts: dict[str, Any]):
    tags = page(facts).tags
    assert not {"script", "link", "img", "iframe", "form", "object"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        assert not {"src", "style"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert "url(" not in operator_report(DAY, **facts)
    assert "http" not in operator_report(DAY, **facts).replace("http-equiv", "")


def test_what_is_written_in_a_text_is_text(facts: dict[str, Any]):
    evil = "<script>alert(1)</script>\"'><b>"
    facts["queue"] = [
        waiting(title=evil, content=evil, rationale=evil, user_id=evil,
                findings=[{"check": evil, "severity": evil, "message": evil}])
    ]  # fmt: skip
    rendered = page(facts)
    assert "script" not in {tag for tag, _ in rendered.tags}
    assert evil in rendered.text


def test_every_tag_is_closed_and_every_heading_in_order(facts: dict[str, Any]):
    rendered = page(facts)
    assert rendered.open == []
    levels = [int(tag[1]) for tag, _ in rendered.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert ("html", {"lang": "en"}) in rendered.tags
    ids = [attributes["id"] for _, attributes in rendered.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(attributes["href"] or "")[1:] for tag, attributes in rendered.tags if tag == "a"} <= set(ids)


def test_a_long_queue_is_cut_and_says_so_while_the_totals_count_all(facts: dict[str, Any]):
    facts |= {
        "queue": [waiting(n) for n in range(SHOWN_AT_MOST + 1)],
        "statuses": {"pending_approval": SHOWN_AT_MOST + 7},
    }
    text = page(facts).text
    assert f"Waiting for a decision{SHOWN_AT_MOST + 7}" in text
    assert f"Of them with findings{SHOWN_AT_MOST}+" in text
    assert text.count("spendsense approve rec_") == SHOWN_AT_MOST
    assert f"The first {SHOWN_AT_MOST} of {SHOWN_AT_MOST + 7}" in text


def test_a_day_on_which_nothing_waits_is_a_page_too(facts: dict[str, Any]):
    empty = facts["personas_30d"].iloc[:0]
    facts |= {"queue": [], "statuses": {}, "blocked": {}, "released": 0, "recalled": 0, "customers": 0}
    facts |= {"personas_30d": empty, "personas_180d": empty}
    text = page(facts).text
    assert "Nothing waits." in text
    assert "Nothing is held back." in text


def test_the_same_facts_give_the_same_page(facts: dict[str, Any]):
    assert operator_report(DAY, **facts) == operator_report(DAY, **facts)

"""Every way in which a model or its server can fail, against a real server of ours, and what the run makes of it."""

import asyncio
import datetime as dt
import gzip
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.recommendations import generation, openai
from spendsense_pipeline.recommendations.generation import (
    DEAD_AFTER,
    REQUESTS_AT_MOST,
    Budget,
    Generation,
    Generator,
    faults,
    known_models,
    may_be_asked,
    with_generated,
)
from spendsense_pipeline.recommendations.library import education_templates
from spendsense_pipeline.recommendations.openai import LONGEST_BODY
from spendsense_pipeline.recommendations.prompts import (
    MOST_TOKENS,
    Rejected,
    Situation,
    distinct,
    fingerprint,
    load_prompts,
    request,
)
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline_tests.recommendations.customers import (
    AS_OF,
    EVERYONE,
    LIBRARY,
    SUBSCRIPTIONS,
    cards,
    day,
    streams,
)
from spendsense_pipeline_tests.recommendations.model_server import (
    Behaviour,
    Body,
    ModelServer,
    Reply,
    completion,
    failure,
    good,
    good_pieces,
    serving,
    slots_offered,
)

FOLDER = Path(__file__).parents[2] / "prompts"
PROMPTS = load_prompts(FOLDER)
FOUND = situations(*day(EVERYONE), streams(SUBSCRIPTIONS), cards())
SITUATIONS = distinct(FOUND)
ONE = next(one for one in SITUATIONS if one.about == "high_utilization")
KEY = "sk-of-nobody-1234"
PRICES = (0.15, 0.60)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@dataclass
class Time:
    """Seconds that pass only while somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Result:
    generations: list[Generation]
    stopped: str | None
    budget: Budget
    slept: list[float]
    kept: list[Generation]

    @property
    def one(self) -> Generation:
        (generation,) = self.generations
        return generation


def budget(requests: int = 1_000, tokens: int = 10_000_000, cost: float = 100.0, prices=PRICES) -> Budget:
    return Budget(requests, tokens, cost, prices)


def write(
    server: ModelServer,
    behaviour: Behaviour = good,
    wanted: list[Situation] | None = None,
    *,
    spend: Budget | None = None,
    in_flight: int = 4,
    seconds: float = 5.0,
    rejected: Mapping[str, Sequence[Rejected]] | None = None,
) -> Result:
    """Have the situations written for, through the SDK and a socket; no time passes between requests."""
    server.behaviour = behaviour
    server.requests.clear()
    passing, spend, kept = Time(), spend or budget(), []

    async def run() -> tuple[list[Generation], str | None]:
        async with openai.opened(KEY, server.url, seconds) as writer:
            generator = Generator(
                writer=writer,
                prompts=PROMPTS,
                model="gpt-4o-mini",
                budget=spend,
                in_flight=in_flight,
                clock=passing.clock,
                sleep=passing.sleep,
                dice=lambda: 0.0,
                keep=kept.extend,
                progress=lambda done, of: None,
                rejected=rejected or {},
            )
            return await generator.write([ONE] if wanted is None else wanted), generator.stopped

    generations, stopped = asyncio.run(asyncio.wait_for(run(), 60))
    return Result(generations, stopped, spend, passing.slept, kept)


def always(reply: Reply) -> Behaviour:
    return lambda request, before: reply


def first(reply: Reply, times: int = 1) -> Behaviour:
    """Fail so many times, then write."""
    return lambda request, before: reply if before < times else good(request, before)


# --- All is well ---


def test_one_request_writes_three_pieces_for_a_situation_and_is_accounted_for(server: ModelServer) -> None:
    found = write(server)
    assert server.requests == [request(ONE, PROMPTS[ONE.about], "gpt-4o-mini")]
    assert server.keys == [f"Bearer {KEY}"]
    assert len(found.one.templates) == 3
    assert (found.one.requests, found.one.sent, found.one.received) == (1, 1500, 600)
    assert found.one.cost == pytest.approx((1500 * 0.15 + 600 * 0.60) / 1e6)
    assert found.one.model == "gpt-4o-mini-2024-07-18"
    assert found.one.problems == ()
    assert found.stopped is None
    assert found.kept == found.generations


def test_what_operators_rejected_of_its_kind_is_shown_and_asks_for_nothing_anew(server: ModelServer) -> None:
    before = Rejected("Mind your cards", "They hold {{ card_balance }}.", "It scolds.")
    plain = write(server).one
    shown = write(server, rejected={ONE.about: [before], "wealth_builder": [replace(before, title="Of others")]}).one
    said = server.requests[0]["messages"][-1]["content"]
    assert "> Mind your cards\n> \n> They hold {{ card_balance }}.\n\nWhy: It scolds." in said
    assert "Of others" not in json.dumps(server.requests)
    assert shown.fingerprint == plain.fingerprint == fingerprint(request(ONE, PROMPTS[ONE.about], "gpt-4o-mini"))


def test_every_situation_is_asked_about_once_and_answers_keep_to_their_situation(server: ModelServer) -> None:
    found = write(server, wanted=SITUATIONS, in_flight=3)
    assert len(server.requests) == len(SITUATIONS) == len(set(server.situations()))
    assert [one.situation for one in found.generations] == SITUATIONS
    assert all(not faults(template, one.situation) for one in found.generations for template in one.templates)


def test_no_more_requests_are_in_flight_than_allowed_and_that_many_are(server: ModelServer) -> None:
    server.latency = 0.05
    write(server, wanted=[ONE, *SITUATIONS] * 4, in_flight=5)
    assert server.most_at_once == 5


# --- The server fails ---

TRANSPORT = {
    "rate limit": (failure(429), "rate_limit"),
    "rate limit with a time": (failure(429, retry_after="2"), "rate_limit"),
    "server error": (failure(500), "http_500"),
    "overloaded": (failure(503), "http_503"),
    "dropped connection": (Reply(drop=True), "connection"),
    "a web page": (Reply(b"<html>down for maintenance</html>"), "malformed_response"),
    "nothing": (Reply(b""), "malformed_response"),
    "another JSON": (Reply(b'["hello"]'), "malformed_response"),
    "no choices": (completion("x", choices=[]), "empty_answer"),
    "null choices": (completion("x", choices=None), "empty_answer"),
}


@pytest.mark.parametrize(("reply", "code"), TRANSPORT.values(), ids=TRANSPORT)
def test_a_server_that_fails_is_asked_four_times_and_the_situation_goes_unwritten(
    server: ModelServer, reply: Reply, code: str
) -> None:
    found = write(server, always(reply))
    assert len(server.requests) == found.one.requests == REQUESTS_AT_MOST
    assert not found.one.written
    assert found.one.problems[0].startswith(f"{code}: ")
    assert found.stopped is None
    assert found.kept == found.generations


@pytest.mark.parametrize(("reply", "code"), TRANSPORT.values(), ids=TRANSPORT)
def test_a_server_that_recovers_is_not_held_against_the_situation(server: ModelServer, reply: Reply, code: str) -> None:
    found = write(server, first(reply, times=2))
    assert found.one.written
    assert found.one.requests == 3


def test_a_server_that_hangs_is_left_after_the_time_allowed(server: ModelServer) -> None:
    started = time.monotonic()
    found = write(server, first(Reply(hang=True)), seconds=0.2)
    assert found.one.written
    assert found.one.requests == 2
    assert found.one.problems == ("timeout: no answer within 0.2 s",)
    assert time.monotonic() - started < 5


def test_waiting_doubles_where_the_server_does_not_say(server: ModelServer) -> None:
    assert write(server, always(failure(500))).slept == [0.5, 1.0, 2.0]


def test_waiting_is_as_long_as_the_server_says_and_for_everybody(server: ModelServer) -> None:
    def limited(request: Body, before: int) -> Reply:
        return failure(429, retry_after="7") if len(server.requests) == 1 else good(request, before)

    found = write(server, limited, SITUATIONS, in_flight=1)
    assert found.slept == [7.0]
    assert all(one.written for one in found.generations)
    assert write(server, first(failure(429, retry_after_ms="1500"))).slept == [1.5]


def test_a_moment_to_wait_for_is_read_against_the_servers_own_clock(server: ModelServer) -> None:
    def limited(request: Body, before: int) -> Reply:
        if before:
            return good(request, before)
        return failure(429, retry_after="Thu, 01 Jan 1970 00:00:00 GMT")

    assert write(server, limited).slept == []
    assert len(server.requests) == 2


def test_who_asks_for_more_than_a_minute_is_asked_no_more(server: ModelServer) -> None:
    found = write(server, always(failure(429, retry_after="3600")), SITUATIONS, in_flight=1)
    assert len(server.requests) == 1
    assert found.stopped == "the server asks to wait 3,600 s (rate_limit)"
    assert found.slept == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [LONGEST_BODY, LONGEST_BODY + 1])
def test_an_answer_is_read_up_to_a_limit(server: ModelServer, size: int, chunked: bool) -> None:
    found = write(server, always(Reply(b" " * size, chunks=int(chunked))))
    code = "malformed_response" if size <= LONGEST_BODY else "too_large"
    assert found.one.problems[0].startswith(f"{code}: ")


def test_an_answer_that_was_packed_is_not_unpacked(server: ModelServer) -> None:
    """It would fit the limit as it is sent: a thousandth of what it holds."""
    packed = gzip.compress(completion("x" * 20 * LONGEST_BODY).body)
    assert len(packed) < LONGEST_BODY
    found = write(server, always(Reply(packed, headers={"Content-Encoding": "gzip"})))
    assert found.one.problems[0].startswith("too_large: the response is compressed")


@pytest.mark.parametrize("status", [301, 307, 308])
def test_nothing_is_sent_where_a_server_points(server: ModelServer, status: int) -> None:
    with serving() as elsewhere:
        there = {"Location": f"{elsewhere.url}/chat/completions"}
        found = write(server, always(Reply(b"", status, there)))
        assert (elsewhere.requests, found.one.problems[0][:9]) == ([], f"http_{status}:")


def test_an_answer_in_chunks_without_an_end_is_left_at_the_limit(server: ModelServer) -> None:
    block = 1 << 16
    found = write(server, always(Reply(b" " * block, chunks=4_000)))
    assert found.one.problems[0].startswith("too_large: ")
    assert server.sent < 10 * LONGEST_BODY * len(server.requests), "what lies in the sockets' buffers, not 262 MB"


def test_a_request_granted_after_another_stopped_the_run_is_given_back_and_nobody_waits_for_it(
    server: ModelServer,
) -> None:
    worst = len(json.dumps(request(ONE, PROMPTS[ONE.about], "gpt-4o-mini"))) // 3 + MOST_TOKENS
    found = write(server, always(failure(401)), [ONE] * 4, spend=budget(tokens=worst))
    assert len(server.requests) == found.budget.spent_requests == 1
    assert found.budget.spent_tokens == 0
    assert (found.stopped or "").startswith("http_401")


STOPPING = {
    "a refused key": (failure(401, message=f"Incorrect API key provided: {KEY}"), "http_401"),
    "a forbidden model": (failure(403), "http_403"),
    "an unknown model": (failure(404), "http_404"),
    "no quota": (failure(429, "insufficient_quota", retry_after="1"), "quota"),
}


@pytest.mark.parametrize(("reply", "code"), STOPPING.values(), ids=STOPPING)
def test_what_every_request_would_get_stops_the_asking_at_once(server: ModelServer, reply: Reply, code: str) -> None:
    found = write(server, always(reply), SITUATIONS, in_flight=1)
    assert len(server.requests) == 1
    assert found.stopped is not None
    assert found.stopped.startswith(f"{code}: ")
    assert KEY not in found.stopped
    assert [one.requests for one in found.generations] == [1] + [0] * (len(SITUATIONS) - 1)
    assert all(one.problems[0].startswith("not asked: ") for one in found.generations[1:])
    assert found.kept == found.generations[:1], "what was not asked about is not put down"


def test_a_server_that_is_gone_is_given_up_after_some_requests_in_a_row(server: ModelServer) -> None:
    found = write(server, always(failure(500)), SITUATIONS * 4, in_flight=1)
    assert len(server.requests) == DEAD_AFTER
    assert found.stopped is not None
    assert found.stopped.startswith(f"{DEAD_AFTER} requests in a row failed")


def test_what_was_written_before_the_server_went_is_kept(server: ModelServer) -> None:
    def going(request: Body, before: int) -> Reply:
        return good(request, before) if len(server.requests) <= 3 else failure(401)

    found = write(server, going, SITUATIONS, in_flight=1)
    assert [one.written for one in found.generations] == [True] * 3 + [False] * (len(SITUATIONS) - 3)
    assert sum(one.written for one in found.kept) == 3


# --- The model fails ---

ANSWERS = {
    "truncation": (completion('{"pieces": [{"topic', finish="length"), "truncated"),
    "malformed JSON": (completion('{"pieces": ['), "malformed_json"),
    "no JSON": (completion("Here are your pieces!"), "malformed_json"),
    "wrong schema": (completion('{"texts": ["Save more"]}'), "wrong_schema"),
    "a missing field": (completion('{"pieces": [{"title": "A"}]}'), "wrong_schema"),
    "another type": (completion('{"pieces": "none"}'), "wrong_schema"),
    "empty list": (completion('{"pieces": []}'), "empty_list"),
    "no text": (completion(""), "empty_answer"),
    "most of a megabyte": (completion(json.dumps({"pieces": "x" * 900_000})), "too_long"),
}


@pytest.mark.parametrize(("reply", "code"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_none_is_asked_for_again_with_what_was_wrong(
    server: ModelServer, reply: Reply, code: str
) -> None:
    found = write(server, always(reply))
    assert len(server.requests) == REQUESTS_AT_MOST
    assert not found.one.written
    assert found.one.problems[0].startswith(f"{code}: ")
    again = server.requests[1]["messages"]
    assert again[:2] == server.requests[0]["messages"]
    assert code in again[-1]["content"]
    assert len(json.dumps(server.requests[-1])) < 40_000, "an endless answer is not sent back"
    assert write(server, first(reply)).one.written


@pytest.mark.parametrize(
    "reply",
    [completion(None, refusal="I cannot help with that."), completion(None, finish="content_filter")],
    ids=["refusal", "content filter"],
)
def test_a_refusal_is_not_asked_again(server: ModelServer, reply: Reply) -> None:
    found = write(server, always(reply))
    assert len(server.requests) == 1
    assert not found.one.written
    assert found.one.problems[0].split(":")[0] in ("refusal", "content_filter")


def saying(text: str, **changed: Any) -> Callable[[list[Body]], None]:
    """Add a sentence to every piece, or change its fields."""

    def change(pieces: list[Body]) -> None:
        for piece in pieces:
            piece["content"] = piece["content"].replace("\n\nA step", f" {text}\n\nA step")
            piece.update(changed)

    return change


TEXTS = {
    "digits": (saying("That is about 50% more."), "figure"),
    "number words": (saying("That is twice as much, or half."), "figure"),
    "a digit in the title": (saying("", title="Your 3 cards"), "figure"),
    "an unknown slot": (saying("It holds {{ account_number }}."), "unknown_slot"),
    "another persona's slot": (saying("It holds {{ subscription_count }}."), "unknown_slot"),
    "a unit beside a slot": (saying("It was ${{ interest_monthly }}."), "unit"),
    "stray braces": (saying("It holds {name}."), "braces"),
    "no figure of the reader's own": (
        saying("", content="A calm look.\n\nSmall steps.\n\nA step to try."),
        "too_few_figures",
    ),
    "a declared false claim": (saying("", facts=["overdue=yes"]), "false_claim"),
    "a fact of nobody": (saying("", facts=["divorced=yes"]), "unknown_fact"),
    "an undeclared false claim": (saying("One of your payments is past due."), "false_claim"),
    "a price rise that is not known": (saying("The price of it went up."), "false_claim"),
    "shame": (saying("You have been irresponsible."), "tone"),
    "a command": (saying("You must pay more."), "tone"),
    "urgency": (saying("Act now."), "tone"),
    "a Markdown link": (saying("See [this page](https://example.com)."), "links"),
    "a script": (saying("Open javascript:alert(document.cookie)."), "links"),
    "HTML": (saying("<b>Look</b> at it."), "links"),
    "an image": (saying('<img src="https://example.com/x.png">'), "links"),
    "Markdown": (saying("This is **important** to see."), "markdown"),
    "a heading": (saying("", content="# Cards\n\n{{ max_utilization }}, {{ interest_charges }}."), "markdown"),
    "a list": (saying("", content="{{ max_utilization }}\n\n- {{ interest_charges }}"), "markdown"),
    "a named stock": (saying("Some people buy shares of Tesla."), "advice_boundary"),
    "a guarantee": (saying("This is guaranteed to work."), "advice_boundary"),
    "the disclosure itself": (
        saying(
            "This is educational content, not financial advice. Consult a licensed advisor for personalized guidance."
        ),
        "disclosure",
    ),
    "an endless text": (saying("So it goes. " * 400), "too_long"),
    "an empty text": (saying("", content=" \n\n "), "empty"),
}


def changed(change: Callable[[list[Body]], None], *, only: int | None = None) -> Behaviour:
    def behaviour(request: Body, before: int) -> Reply:
        pieces = good_pieces(request)
        change(pieces if only is None else pieces[:only])
        return completion(json.dumps({"pieces": pieces}))

    return behaviour


@pytest.mark.parametrize(("change", "code"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_breaks_a_rule_is_not_used_and_the_model_is_told_why(
    server: ModelServer, change: Callable[[list[Body]], None], code: str
) -> None:
    found = write(server, changed(change))
    assert len(server.requests) == REQUESTS_AT_MOST
    assert not found.one.written
    assert found.one.problems[0].startswith(f"{code}: "), found.one.problems
    assert all(len(problem) <= generation.TOLD_LENGTH for problem in found.one.problems)
    assert code in server.requests[1]["messages"][-1]["content"]


@pytest.mark.parametrize("name", ["digits", "shame", "an undeclared false claim"])
def test_good_pieces_of_an_answer_are_kept_and_what_failed_is_listed(server: ModelServer, name: str) -> None:
    change, code = TEXTS[name]
    found = write(server, changed(change, only=1))
    assert len(server.requests) == 1
    assert len(found.one.templates) == 2
    assert {problem.split(":")[0] for problem in found.one.problems} == {code}


def test_a_single_good_piece_is_kept_while_the_others_are_asked_for_again(server: ModelServer) -> None:
    found = write(server, changed(TEXTS["digits"][0], only=2))
    assert len(server.requests) == REQUESTS_AT_MOST
    assert len(found.one.templates) == 1


def test_curly_quotes_spaces_and_slots_without_spaces_are_spelled_as_ours(server: ModelServer) -> None:
    def curl(pieces: list[Body]) -> None:
        for piece in pieces:
            piece["title"] = f"  “It’s”   {piece['title']} "
            piece["content"] = piece["content"].replace("{{ window }}", "{{window}}").replace("\n\n", " \r\n \r\n")
            piece["content"] = piece["content"].replace("Your own", "Here’s  what you\u00a0see—your own\u200b")

    found = write(server, changed(curl))
    assert len(server.requests) == 1
    assert len(found.one.templates) == 3
    template = found.one.templates[0]
    assert template.title.startswith('"It\'s" A calm look')
    assert template.content.startswith("Here's what you see - your own figures in the {{ window }}:")
    assert template.content.count("\n\n") == 2


def test_what_a_model_may_say_where_it_is_known(server: ModelServer) -> None:
    late = EVERYONE["high_utilization"] | {"any_overdue": True}
    (situation,) = distinct(situations(*day({"u": late}), streams([]), cards()))
    pieces, _ = generation.read(
        generation.Answer(
            json.dumps(
                {
                    "pieces": [
                        {
                            "topic": "past due",
                            "title": "Catching up",
                            "content": "One of your payments is past due. You see {{ max_utilization }} on "
                            "{{ interest_charges }}.\n\nIt can be sorted out.\n\nA step to try: a short call.",
                            "facts": ["overdue=yes"],
                        }
                    ]
                }
            )
        ),
        situation,
    )
    assert [piece.title for piece in pieces] == ["Catching up"]


# --- The budget ---


def test_the_budget_of_requests_is_never_overspent_and_repeats_count(server: ModelServer) -> None:
    found = write(server, first(failure(500)), SITUATIONS, spend=budget(requests=5), in_flight=4)
    assert len(server.requests) == 5
    assert found.stopped == "the budget of 5 requests a run is used up"
    unwritten = [one for one in found.generations if not one.written]
    assert unwritten
    assert all("the budget of 5 requests" in one.problems[-1] for one in unwritten)


@pytest.mark.parametrize("in_flight", [1, 8])
def test_the_budgets_of_tokens_and_cost_hold_whatever_is_in_flight(server: ModelServer, in_flight: int) -> None:
    def costly(request: Body, before: int) -> Reply:
        usage = {"prompt_tokens": 1_000, "completion_tokens": 2_000, "total_tokens": 3_000}
        return completion(json.dumps({"pieces": good_pieces(request)}), usage=usage)

    found = write(server, costly, SITUATIONS, spend=budget(tokens=13_000), in_flight=in_flight)
    assert found.budget.spent_tokens <= 13_000
    assert sum(one.written for one in found.generations) == 3, "the third fits once two have given back"
    assert found.stopped == "the budget of 13,000 tokens a run is used up"
    found = write(server, costly, SITUATIONS, spend=budget(cost=0.005), in_flight=in_flight)
    assert found.budget.spent_cost <= 0.005
    assert found.stopped == "the budget of $0.005 a run is used up"
    assert sum(one.written for one in found.generations) == 3, "the third fits once two have given back"


def test_no_budget_is_no_request(server: ModelServer) -> None:
    for spend in (budget(requests=0), budget(tokens=0), budget(cost=0.0)):
        assert write(server, spend=spend).stopped is not None
    assert server.requests == []


def test_without_prices_cost_is_unknown_and_not_zero(server: ModelServer) -> None:
    found = write(server, spend=budget(prices=None, cost=0.0))
    assert found.one.written
    assert found.one.cost is None


def test_what_nobody_counted_is_spent_at_its_worst(server: ModelServer) -> None:
    found = write(server, changed(lambda pieces: None), spend=(spend := budget()))
    counted = spend.spent_tokens
    assert counted == found.one.sent + found.one.received
    uncounted = write(
        server, lambda request, _: completion(json.dumps({"pieces": good_pieces(request)}), usage=None)
    ).budget.spent_tokens
    assert uncounted > counted
    assert write(server, always(failure(500))).budget.spent_tokens == 0


# --- What the day's templates become ---


def test_what_the_model_wrote_comes_before_the_library_of_its_situation(server: ModelServer) -> None:
    pieces = education_templates(FOUND, LIBRARY, AS_OF)
    generations = write(server, wanted=SITUATIONS[:2]).generations
    merged = with_generated(pieces, generations, AS_OF)
    assert failures(CONTRACTS["education_templates"], merged).empty
    assert dict(merged.dtypes) == dict(pieces.dtypes)
    assert len(merged) == len(pieces) + 6
    for number, situation in enumerate(SITUATIONS):
        rows = merged[merged["situation"] == situation.key]
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        best = rows["generator"].tolist()[:3]
        assert best == ["openai" if number < 2 else "library"] * 3
    written = merged[merged["generator"] == "openai"]
    assert set(written["model"]) == {"gpt-4o-mini-2024-07-18"}
    assert set(written["prompt_version"]) == {PROMPTS[one.about].version for one in SITUATIONS[:2]}


def test_without_a_generation_the_library_is_as_it_was() -> None:
    pieces = education_templates(FOUND, LIBRARY, AS_OF)
    pd.testing.assert_frame_equal(with_generated(pieces, [], AS_OF), pieces)


def test_the_scripted_server_offers_what_the_request_says(server: ModelServer) -> None:
    write(server)
    assert slots_offered(server.requests[0]) == list(ONE.slots)


TODAY = dt.date(2026, 3, 5)


def test_a_model_of_unknown_price_is_asked_only_by_somebody_who_says_how_often() -> None:
    may_be_asked("gpt-4o-mini", (0.15, 0.6), None, TODAY)
    may_be_asked("somebody's own", None, 50, TODAY)
    with pytest.raises(SpendSenseError, match="SPENDSENSE_MODEL_BUDGET_REQUESTS") as refused:
        may_be_asked("somebody's own", None, None, TODAY)
    assert refused.value.code == "unknown_price"


def test_a_model_that_answers_no_more_is_named_before_anybody_asks_it() -> None:
    for model, known in known_models().items():
        assert known["sent"] > 0
        assert known["received"] >= known["sent"]
        if "retires" in known:
            may_be_asked(model, (1.0, 1.0), None, known["retires"] - dt.timedelta(days=1))
            with pytest.raises(SpendSenseError, match=model) as refused:
                may_be_asked(model, (1.0, 1.0), None, known["retires"])
            assert refused.value.code == "retired_model"

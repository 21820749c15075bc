"""What a model wrote is kept: the newest answer to exactly this question, and nothing that failed."""

import datetime as dt
import threading
from dataclasses import replace

from sqlalchemy import Engine, select

from spendsense_pipeline.governance import generations
from spendsense_pipeline.governance.database import connect, reading, writing
from spendsense_pipeline.governance.models import ModelGeneration, ModelTemplate
from spendsense_pipeline.recommendations.generation import Generation, Template
from spendsense_pipeline.recommendations.library import Piece
from spendsense_pipeline.recommendations.prompts import Rejected, Situation
from spendsense_pipeline_tests.governance import verdicts
from spendsense_pipeline_tests.governance.town import NOW, seen, waiting_draft

SITUATION = Situation("p/a=b/slots=1", "savings_builder", {"a": "b"}, ("fund_months",))
TEMPLATES = (
    Template("start", "Your “fund”", "It covers {{ fund_months }} — a start.", ("fund=below-1",)),
    Template("goal", "A goal", "A second one: {{ fund_months }} of {{ window }}.", ()),
)
WRITTEN = Generation(
    situation=SITUATION,
    fingerprint="f" * 64,
    prompt_version="savings_builder-2+abc",
    model="a-model",
    templates=TEMPLATES,
    problems=("figure: content: says '3'",),
    requests=2,
    sent=3000,
    received=1200,
    cost=0.00117,
    latency_ms=812.5,
)
LIBRARY = Piece("high_utilization/a-piece", "high_utilization", "A piece", "a topic", (), (), "Words of the library.")
FAILED = replace(WRITTEN, templates=(), problems=("timeout: no answer within 60 s",), cost=None)


def kept(engine: Engine, *several: Generation, at: dt.datetime = NOW) -> None:
    with writing(engine) as session:
        generations.keep(session, several, at, "run-1")


def found(engine: Engine, fingerprint: str = WRITTEN.fingerprint) -> Generation | None:
    with reading(engine) as session:
        return generations.written_before(session, {fingerprint: SITUATION}).get(fingerprint)


def test_what_was_written_comes_back_whole(empty: Engine) -> None:
    kept(empty, WRITTEN)
    assert found(empty) == WRITTEN
    assert found(empty, "another") is None


def test_a_failure_is_put_down_and_never_used(empty: Engine) -> None:
    kept(empty, FAILED)
    assert found(empty) is None
    with reading(empty) as session:
        row = session.scalars(select(ModelGeneration)).one()
        assert (row.outcome, row.requests, row.tokens_sent, row.cost) == ("failed", 2, 3000, None)
        assert "timeout" in row.problems
        assert session.query(ModelTemplate).count() == 0


def test_the_newest_text_is_used_and_the_older_one_stays(empty: Engine) -> None:
    newer = replace(WRITTEN, templates=TEMPLATES[1:])
    kept(empty, WRITTEN)
    kept(empty, newer, at=NOW + dt.timedelta(days=1))
    kept(empty, FAILED, at=NOW + dt.timedelta(days=2))
    assert found(empty) == newer
    with reading(empty) as session:
        assert session.query(ModelGeneration).count() == 3
        assert session.query(ModelTemplate).count() == 3


def test_what_operators_rejected_is_shown_as_templates_with_reasons_that_speak_of_nobody(engine: Engine) -> None:
    kept(engine, WRITTEN)
    reasons = ["Too cheerful for this.", "Mr. Smith has called about it.", "The $82 is wrong.", "Late."]
    templates = [TEMPLATES[0].hash, TEMPLATES[1].hash, "0" * 64, TEMPLATES[0].hash]
    for number, (reason, template) in enumerate(zip(reasons, templates, strict=True)):
        one = waiting_draft(engine, f"user{number}", template_hash=template)
        verdicts.reject(engine, [seen(one)], "ada", NOW + dt.timedelta(minutes=number), reason=reason)
    of_library = waiting_draft(engine, "user9", template=LIBRARY.template_id, template_hash=LIBRARY.hash)
    verdicts.reject(engine, [seen(of_library)], "ada", NOW, reason="By mistake.")
    with reading(engine) as session:
        found = generations.rejected(session, [LIBRARY])
    assert found == {
        "high_utilization": [
            Rejected(LIBRARY.title, LIBRARY.content, "By mistake."),
            Rejected(TEMPLATES[0].title, TEMPLATES[0].content, "Late."),
            Rejected(TEMPLATES[1].title, TEMPLATES[1].content, None),
        ]
    }, "the newest reason of each, none that names somebody, and nothing of words that nobody knows any more"


def test_hundreds_of_situations_are_found_at_once(empty: Engine) -> None:
    many = [replace(WRITTEN, fingerprint=f"{number:064}") for number in range(700)]
    kept(empty, *many)
    with reading(empty) as session:
        assert len(generations.written_before(session, {one.fingerprint: SITUATION for one in many})) == 700


def test_one_run_asks_and_the_other_waits_and_then_finds_the_answer(empty: Engine) -> None:
    other = connect(empty.url.render_as_string(hide_password=False), lock_timeout=0.2)
    events: list[str] = []
    inside, wait = threading.Event(), threading.Event()

    def first() -> None:
        with generations.one_run_asks(empty):
            inside.set()
            wait.wait(10)
            kept(empty, WRITTEN)
            events.append("first is done")

    def second() -> None:
        inside.wait(10)
        with generations.one_run_asks(other):
            events.append("second finds it" if found(other) else "second finds nothing")

    runs = [threading.Thread(target=work) for work in (first, second)]
    for run in runs:
        run.start()
    inside.wait(10)
    runs[1].join(0.5)  # longer than others wait for a lock
    assert runs[1].is_alive()
    wait.set()
    for run in runs:
        run.join(10)
    assert events == ["first is done", "second finds it"]
    other.dispose()

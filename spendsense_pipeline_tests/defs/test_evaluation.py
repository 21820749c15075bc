"""The record of a day as a real run writes it."""

from sqlalchemy import select

from spendsense_pipeline.defs import launch
from spendsense_pipeline.governance import consent, feedback, operators, queue, release
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import Release
from spendsense_pipeline_tests.conftest import DAY, NOON, Pipeline
from spendsense_pipeline_tests.governance import verdicts


def test_the_record_written_anew_has_the_decision_the_feedback_and_why_the_release_ended(copy: Pipeline) -> None:
    with writing(copy.engine) as session:
        operators.add(session, "op_of_the_day", NOON)
    with reading(copy.engine) as session:
        (row,) = queue.queue(session, NOON, limit=1)["queue"]
        waiting = queue.waiting(session, NOON)["waiting"]
    page = copy.settings.reports / f"{DAY}.html"
    before = page.read_text()
    assert f"<dt>Waiting</dt><dd>{waiting}</dd>" in before
    assert "Nobody has decided anything yet." in before
    assert "No release has ended." in before
    assert "Nothing came back about a release yet." in before

    verdicts.approve(copy.engine, [f"{row['recommendation_id']}@{row['content_hash']}"], "op_of_the_day", NOON)
    release.run_gate(copy.engine, NOON)
    with reading(copy.engine) as session:
        release_id = session.scalar(select(Release.release_id))
    event = {"event_id": "one", "release_id": release_id, "kind": "helpful", "occurred_at": None, "note": None}
    feedback.record(copy.engine, [event], NOON, source="app")
    with writing(copy.engine) as session:
        revoked = consent.revoke(session, row["user_id"], NOON, actor=row["user_id"], source="app")
    voided = sum(len(scope["voided"]) for scope in revoked)
    assert voided > 0
    with launch.opened_instance(copy.settings) as instance:
        launch.evaluate(copy.definitions, instance, DAY)

    after = page.read_text()
    assert f"<dt>Waiting</dt><dd>{waiting - 1 - voided}</dd>" in after
    assert '<th scope="row">op_of_the_day</th><td class="n">1</td>' in after
    assert '<th scope="row">revoked</th><td class="n">1</td>' in after
    assert '<th scope="row">helpful</th><td class="n">1</td>' in after
    assert f'<th scope="row">voided</th><td class="n">{voided}</td>' in after
    for name in ("user_id", "recommendation_id", "content_hash", "title"):
        assert row[name] not in after

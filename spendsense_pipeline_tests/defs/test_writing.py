"""A language model in the graph: asked once, kept, marked where it failed, and told nothing about anybody."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import select, update

from spendsense_pipeline import warehouse
from spendsense_pipeline.defs.feature_assets import JOB
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.governance.models import ModelGeneration, ModelTemplate
from spendsense_pipeline.recommendations.generation import REQUESTS_AT_MOST
from spendsense_pipeline.recommendations.prompts import load_prompts
from spendsense_pipeline.recommendations.templates import EXAMPLES
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.conftest import DAY, Pipeline, unopened
from spendsense_pipeline_tests.recommendations.model_server import (
    Body,
    ModelServer,
    Reply,
    completion,
    failure,
    good,
    serving,
)

ASSETS = ("education_templates", "draft_recommendations")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def asking(copy: Pipeline, server: ModelServer) -> Pipeline:
    """The shared pipeline's folder, with a language model."""
    return with_model(copy, OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")


def with_model(pipeline: Pipeline, **settings: Any) -> Pipeline:
    return Pipeline(Settings(data=pipeline.settings.data, generator="openai", **settings))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting between requests takes no time."""
    monkeypatch.setattr("spendsense_pipeline.recommendations.generation.FIRST_WAIT", 0.0)


class Run:
    """What writing and drafting a day came to."""

    def __init__(self, pipeline: Pipeline, *, regenerate: bool = False, assets: tuple[str, ...] = ASSETS) -> None:
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        config = {"ops": {"education_templates": {"config": {"regenerate": regenerate}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            result = pipeline.definitions.resolve_job_def(JOB).execute_in_process(
                run_config={**quiet, **config},
                instance=instance,
                partition_key=DAY.isoformat(),
                asset_selection=[dg.AssetKey(name) for name in assets],
            )
            self.run_id = result.run_id
            self.check = next(one for one in result.get_asset_check_evaluations() if one.check_name == "generation")
            self.logged = [
                (event.level, event.user_message)
                for event in instance.all_logs(result.run_id)
                if event.user_message and not event.is_dagster_event
            ]
            events = result.get_asset_materialization_events()
        written = next(one for one in events if one.materialization.asset_key.path[-1] == "education_templates")
        self.metadata = {
            name: [row.data for row in value.records] if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in written.materialization.metadata.items()
        }
        root = pipeline.settings.warehouse_root
        self.templates = warehouse.load(root, "education_templates", [DAY.isoformat()]).to_pandas()
        drafts = warehouse.load(root, "draft_recommendations", [DAY.isoformat()]).to_pandas()
        found = warehouse.load(root, "situations", [DAY.isoformat()]).to_pandas()
        # Where a customer's insights forbid what a model's pieces may do, the library serves.
        forbidden = found.dropna(subset=["excluded_tags"]).set_index("user_id")["excluded_tags"].map(json.loads)
        written = self.templates[self.templates["generator"] == "openai"]
        does = written.set_index("situation")["tags"].map(json.loads).groupby("situation").sum().map(set)
        served = [
            not does.get(situation, set()).isdisjoint(forbidden.get(user, []))
            or (insight and bool(forbidden.get(user)))
            for user, situation, insight in zip(
                drafts["user_id"], drafts["situation"], drafts["insight"].isna(), strict=True
            )
        ]
        self.education = drafts[(drafts["content_type"] == "education") & ~pd.Series(served, drafts.index)]

    def writers(self) -> dict[str, set[str]]:
        """Who wrote the drafts, by situation."""
        return {key: set(rows["generator"]) for key, rows in self.education.groupby("situation")}


class Written(NamedTuple):
    """A day for which the model wrote, and what it was asked."""

    pipeline: Pipeline
    server: ModelServer
    run: Run


@pytest.fixture(scope="module")
def written(refreshed: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """For tests that look at it, or do what may change nothing."""
    data = tmp_path_factory.mktemp("written") / "data"
    shutil.copytree(unopened(refreshed), data)
    with pytest.MonkeyPatch.context() as patched, serving() as server:
        patched.setenv("NO_PROXY", "127.0.0.1")
        pipeline = with_model(Pipeline(Settings(data=data)), OPENAI_BASE_URL=server.url, OPENAI_API_KEY="sk-test")
        yield Written(pipeline, server, Run(pipeline))


def readers(pipeline: Pipeline) -> set[str]:
    """The situations of those who agreed to education."""
    backend, root = warehouse.connect(), pipeline.settings.warehouse_root
    people = warehouse.read(backend, root, "users")
    agreed = set(people.filter(people.consent_status).user_id.to_pyarrow().to_pylist())
    found = warehouse.load(root, "situations", [DAY.isoformat()]).to_pandas()
    return set(found.loc[found["user_id"].isin(agreed), "situation"])


def test_each_situation_with_a_reader_is_asked_about_once_and_never_again(written: Written) -> None:
    asking, server, run = written
    wanted = readers(asking)
    assert len(server.requests) == len(wanted) == len(set(server.situations()))
    writers = run.writers()  # insights leave no room for some personas' pieces
    assert len(writers) > 5
    assert writers == {key: {"openai"} for key in wanted & writers.keys()}
    assert run.check.passed
    assert run.metadata["requests"] == len(wanted)
    assert run.metadata["tokens_sent"] == 1500 * len(wanted)
    assert run.metadata["cost_usd"] == pytest.approx(len(wanted) * (1500 * 0.15 + 600 * 0.60) / 1e6, abs=1e-6)
    assert run.metadata["model"] == "gpt-4o-mini"
    drawn = re.findall(r"([\d,]+) situations, ([\d,]+) tokens, \$([\d.]+)", run.metadata["cost"])
    assert sum(int(number) for number, _, _ in drawn) == len(wanted)
    assert sum(float(cost) for _, _, cost in drawn) == pytest.approx(run.metadata["cost_usd"], abs=1e-3)
    assert any(f"{len(wanted)} of {len(wanted)} situations" in message for _, message in run.logged)
    with reading(asking.engine) as session:
        kept = session.scalars(select(ModelGeneration)).all()
        assert {(one.outcome, one.requests, one.tokens_sent, one.tokens_received) for one in kept} == {
            ("written", 1, 1500, 600)
        }
        assert all(one.latency_ms > 0 and one.model == "gpt-4o-mini-2024-07-18" for one in kept)
        assert {one.run_id for one in kept} == {run.run_id}
    again = Run(asking)
    assert len(server.requests) == len(wanted)
    assert "cost" not in again.metadata  # nothing was spent
    assert (again.metadata["requests"], again.metadata["situations_kept_before"]) == (0, len(wanted))
    pd.testing.assert_frame_equal(again.education, run.education)


def test_regenerate_asks_again_and_uses_the_new_text(asking: Pipeline, server: ModelServer) -> None:
    Run(asking)
    asked = len(server.requests)

    def otherwise(request: Body, before: int) -> Reply:
        reply = good(request, before)
        return replace(reply, body=reply.body.replace(b"A calm look", b"A second look"))

    server.behaviour = otherwise
    run = Run(asking, regenerate=True)
    assert len(server.requests) == 2 * asked
    assert run.education["title"].str.startswith("A second look").all()
    server.behaviour = lambda request, before: failure(500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spendsense_pipeline.recommendations.generation.FIRST_WAIT", 0.0)
        failed = Run(asking, regenerate=True)
    assert failed.education["title"].str.startswith("A second look").all(), "an older text is better than none"
    assert not failed.check.passed


def test_a_situation_that_fails_is_served_by_the_library_marked_so_and_asked_about_again(
    asking: Pipeline, server: ModelServer
) -> None:
    unlucky: list[str] = []

    def one_fails(request: Body, before: int) -> Reply:
        said = request["messages"][1]["content"]
        unlucky[:] = unlucky or [said]
        return completion('{"pieces": []}') if said == unlucky[0] else good(request, before)

    server.behaviour = one_fails
    run = Run(asking)
    wanted = readers(asking)
    assert len(server.requests) == len(wanted) - 1 + REQUESTS_AT_MOST
    writers = run.writers()  # insights leave no room for some personas' pieces
    assert len(writers) > 5
    assert not run.check.passed
    assert run.check.severity is dg.AssetCheckSeverity.WARN
    (row,) = run.metadata["problems"]
    assert (row["outcome"], row["served_by"]) == ("failed", "library")
    failed = row["situation"]
    assert writers == {key: {"library" if key == failed else "openai"} for key in wanted & writers.keys()}
    assert row["problem"] == "empty_list: there is no piece"
    assert any(failed in message and "empty_list" in message for _, message in run.logged)
    server.behaviour = good
    before = len(server.requests)
    mended = Run(asking)
    assert len(server.requests) == before + 1
    assert set().union(*mended.writers().values()) == {"openai"}
    assert mended.check.passed


def test_a_refused_key_ends_the_asking_and_the_run_finishes_on_the_library_loudly(
    asking: Pipeline, server: ModelServer
) -> None:
    server.behaviour = lambda request, before: failure(401, message="Incorrect API key provided: sk-test")
    run = Run(asking)
    assert len(server.requests) <= asking.settings.openai_in_flight
    assert set().union(*run.writers().values()) == {"library"}
    assert not run.check.passed
    assert run.metadata["stopped"].startswith("http_401: the API key is refused")
    assert "sk-test" not in str(run.logged)
    assert any(level == 40 and "No more requests" in message for level, message in run.logged)
    server.behaviour = good
    assert set().union(*Run(asking).writers().values()) == {"openai"}


def test_without_a_key_nothing_is_asked_and_the_library_serves(copy: Pipeline) -> None:
    run = Run(with_model(copy))
    assert run.metadata["stopped"] == "OPENAI_API_KEY is not set"
    assert run.metadata["situations_served_by_library"] == len(readers(copy))
    assert set().union(*run.writers().values()) == {"library"}
    assert not run.check.passed


def test_a_budget_that_runs_out_leaves_the_rest_to_the_library_and_the_next_run(
    copy: Pipeline, server: ModelServer
) -> None:
    asking = with_model(copy, OPENAI_BASE_URL=server.url, openai_max_requests=3)
    wanted = readers(asking)
    run = Run(asking)
    assert len(server.requests) == 3
    assert server.keys[0] == "Bearer none", "a server of one's own may need no key"
    assert run.metadata["stopped"] == "the budget of 3 requests a run is used up"
    assert sum(writers == {"openai"} for writers in run.writers().values()) == 3
    Run(asking)
    assert len(server.requests) == min(6, len(wanted))


def test_a_kept_text_that_breaks_the_rules_of_today_is_asked_for_again(asking: Pipeline, server: ModelServer) -> None:
    Run(asking)
    asked = len(server.requests)
    with writing(asking.engine) as session:
        one = session.scalars(select(ModelTemplate.generation_id).limit(1)).one()
        spoilt = update(ModelTemplate).where(ModelTemplate.generation_id == one)
        session.execute(spoilt.values(content="You must pay {{ small_step }} now, twice."))
    run = Run(asking)
    assert len(server.requests) == asked + 1
    assert set().union(*run.writers().values()) == {"openai"}


def test_with_the_library_nobody_is_asked(copy: Pipeline) -> None:
    run = Run(copy)
    assert run.check.passed
    assert set(run.templates["generator"]) == {"library"}
    with reading(copy.engine) as session:
        assert session.query(ModelGeneration).count() == 0


# --- Nobody is in it ---


def personal_values(pipeline: Pipeline) -> dict[str, set[str]]:
    """Everything in the dataset that is somebody's: as stored, and as a text would show it."""
    backend, root = warehouse.connect(), pipeline.settings.warehouse_root
    tables = {
        name: warehouse.read(backend, root, name).to_pyarrow().to_pandas()
        for name in ("users", "accounts", "transactions", "liabilities")
    }
    streams = warehouse.load(root, "recurring_streams", [DAY.isoformat()]).to_pandas()
    found = warehouse.load(root, "situations", [DAY.isoformat()]).to_pandas()
    slots = [
        slot for text in found["slots"] for name, slot in json.loads(text).items() if name not in ("window", "as_of")
    ]
    ids = [(table, column) for table, rows in tables.items() for column in rows if column.endswith("_id")]
    amounts = pd.concat(
        [
            *(tables["accounts"][name] for name in ("balance_available", "balance_current", "balance_limit")),
            tables["transactions"]["amount"],
            *(tables["liabilities"][name] for name in ("minimum_payment_amount", "last_payment_amount")),
        ]
    )
    cents = sorted({f"{abs(amount):.2f}" for amount in amounts.dropna()})
    # What every prompt says, of whomever, and the samples of how slots read are nobody's.
    prompts = load_prompts(pipeline.settings.prompts).values()
    everybodys = "\n".join([*(one.text for one in prompts), *(one["shown"] for one in EXAMPLES.values())]).lower()
    payees = {*tables["transactions"]["merchant_name"].dropna(), *streams["merchant"].dropna()}
    return {
        "names": set(tables["users"]["full_name"]),
        "e-mails": set(tables["users"]["email"]),
        "ids": {str(value) for table, column in ids for value in tables[table][column].dropna()},
        "payees": {payee for payee in payees if payee.lower() not in everybodys},
        "amounts": {*cents, *(f"{float(amount):,.2f}" for amount in cents)},
        "shown": {str(slot["shown"]) for slot in slots if str(slot["shown"]).lower() not in everybodys},
        "figures": {str(slot["value"]) for slot in slots if isinstance(slot["value"], float) and slot["value"] % 1},
    }


@pytest.fixture(scope="module")
def personal(refreshed: Pipeline) -> dict[str, set[str]]:
    """The personal values of the shared dataset, which each copy holds."""
    return personal_values(refreshed)


def told(raw: str, values: set[str]) -> set[str]:
    """Those of the values that stand in the requests as whole words, whatever their case."""
    text = "\n".join(dict.fromkeys(raw.lower().split("\\n")))  # requests repeat each other's lines
    return {
        value
        for value in values
        if value.lower() in text and re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", text)
    }


def named(server: ModelServer, personal: dict[str, set[str]]) -> dict[str, set[str]]:
    """What the requests hold that is somebody's, by its kind."""
    everything = json.loads(json.dumps("\n".join(server.raw)))
    assert all(len(known) > 10 for known in personal.values()), {kind: len(known) for kind, known in personal.items()}
    return {kind: found for kind, known in personal.items() if (found := told(everything, known))}


def test_no_request_holds_a_personal_value_of_the_dataset(written: Written, personal: dict[str, set[str]]) -> None:
    assert named(written.server, personal) == {}


def test_no_request_that_sends_back_what_is_wrong_holds_one(
    asking: Pipeline, server: ModelServer, patient: None, personal: dict[str, set[str]]
) -> None:
    server.behaviour = lambda request, before: completion('{"pieces": [{"title": "x"}]}')
    Run(asking)
    assert len(server.raw) > len(readers(asking))
    assert named(server, personal) == {}


def test_the_search_for_personal_values_finds_one_of_each_kind(personal: dict[str, set[str]]) -> None:
    for kind, known in personal.items():
        one = sorted(known)[len(known) // 2]
        assert told(f'{{"content": "about {one.upper()}, then"}}', known) >= {one}, kind


# --- The command line ---


def test_prompt_prints_exactly_what_is_sent(written: Written, spendsense: Callable[..., Any]) -> None:
    asking, server, _ = written
    sent = {json.dumps(one, sort_keys=True) for one in server.requests}
    for key in readers(asking):
        printed = spendsense(asking, "prompt", key)
        assert json.dumps(printed["request"], sort_keys=True) in sent
        assert printed["situation"] == key
        with reading(asking.engine) as session:
            assert session.query(ModelGeneration).filter_by(fingerprint=printed["fingerprint"]).count() == 1


def test_prompt_needs_neither_data_nor_key_and_says_what_is_no_situation(
    tmp_path, spendsense: Callable[..., Any]
) -> None:
    nothing = Pipeline(Settings(data=tmp_path / "nothing"))
    key = "subscription_heavy/streams=5-7,share=20+,price_rise=no/slots=c48268b0d4"
    assert spendsense(nothing, "prompt", key)["slots"][0] == "subscription_count"
    refused = spendsense(nothing, "prompt", "somebody", code=1)["error"]
    assert refused["code"] == "unknown_situation"
    assert "spendsense run" in refused["message"]
    assert not nothing.settings.data.exists()


@pytest.mark.verify
def test_run_tells_what_the_model_did_and_regenerate_asks_again(
    asking: Pipeline, server: ModelServer, spendsense: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SPENDSENSE_GENERATOR": "openai",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-test",
    }.items():
        monkeypatch.setenv(name, value)
    wanted = len(readers(asking))
    day = ("run", "--as-of", DAY.isoformat())
    assert spendsense(asking, *day)["generation"]["requests"] == wanted
    assert spendsense(asking, *day)["generation"]["requests"] == 0
    assert spendsense(asking, *day, "--regenerate")["generation"]["requests"] == wanted
    assert len(server.requests) == 2 * wanted

"""A year of a small bank, simulated: every process, people and programs that err, deaths at any write, full disks.

One random generator and one virtual clock drive everything, so a seed is a history. After each step what is shown is
held against ``simulation_model``, which never asks the code; after each day the rest is. A failure prints the steps
that led to it and the command that replays it. ``make test`` simulates some weeks, ``make verify`` years.
"""

import asyncio
import datetime as dt
import errno
import gc
import hashlib
import json
import logging
import os
import sqlite3
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import dagster as dg
import httpx2
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from spendsense_pipeline import gate, warehouse
from spendsense_pipeline.definitions import _resources, build_defs
from spendsense_pipeline.defs import erase_run, ingest, launch
from spendsense_pipeline.defs.resources import Clock
from spendsense_pipeline.erasure import erased_rows
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.evaluation import export
from spendsense_pipeline.governance import (
    audit,
    batches,
    consent,
    endings,
    feedback,
    generations,
    holds,
    operators,
    outbox,
    policy,
    queue,
    registration,
    release,
    review,
    standing,
    topics,
    wordings,
)
from spendsense_pipeline.governance.database import connect, reading, writing
from spendsense_pipeline.governance.models import AuditEntry, ConsentPeriod, FeedbackEvent, Recommendation
from spendsense_pipeline.ingest import landing
from spendsense_pipeline.recommendations.generation import Answer, Budget, Generator, Unanswered, faults
from spendsense_pipeline.recommendations.guardrails import review_draft
from spendsense_pipeline.recommendations.prompts import distinct, fingerprint, load_prompts, request
from spendsense_pipeline.recommendations.situations import situations
from spendsense_pipeline.service import v1
from spendsense_pipeline.service.state import Service
from spendsense_pipeline.service.webhooks import Sender
from spendsense_pipeline.settings import PROJECT_ROOT, Settings
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.conftest import database_in, hasty
from spendsense_pipeline_tests.recommendations import customers
from spendsense_pipeline_tests.recommendations.model_server import good_pieces
from spendsense_pipeline_tests.simulation_model import DAY, SCOPES, Bank, Delivery, Draft, Promises, hashed
from spendsense_pipeline_tests.test_erasure import naming

BEGIN = dt.datetime(2025, 1, 2, 9, tzinfo=dt.UTC)
CUSTOMERS, STEPS_A_DAY = 14, 160
MISHAPS = 0.03
ADDRESS = "https://app.example/hook"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # a test's own
EDUCATIONAL = "This is educational content, not financial advice. Consult a licensed advisor for personalized guidance."
TERMS = "Product terms, rates, and availability subject to change."
OPERATORS = ("ada", "ben", "eve", "customer-002")
KINDS = ("seen", "opened", "helpful", "dismissed", "wrong_figure", "complaint")


class Death(BaseException):
    """The process is gone: nothing of it runs any more, nor is anything written."""


class Mishap:
    """Counts writes down, to files and to databases; at the last one the process dies, or the disk is full.

    Python says of each file that is opened to write, renamed or removed (audit events), whoever does it; what Arrow
    and DuckDB write by themselves is cut to half. Once dead, a process does not tidy up either.
    """

    now: ClassVar["Mishap | None"] = None

    def __init__(self, kind: str, writes: int, root: Path) -> None:
        self.kind, self.left, self.root, self.happened = kind, writes, str(root), False

    def write(self) -> None:
        """Something is about to be written."""
        self.left -= 1
        if self.left < 0:
            self.happened = True
            if self.kind == "death":
                raise Death
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def file(self, happening: str, arguments: tuple[Any, ...]) -> None:
        """An audit event."""
        writes = happening in ("os.rename", "os.link", "os.mkdir", "os.truncate")
        if happening == "open":
            _, mode, flags = arguments
            writes = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR))
        elif happening in ("os.remove", "os.rmdir"):
            writes = self.kind == "death"  # there is always room to take something away
        where = str(arguments[0]) if writes else ""
        ours = where.startswith(self.root) and not where.endswith((".lock", ".log"))
        if ours and ("/leases/" not in where or self.happened):  # a lease that is held outlives its process as a file
            self.write()


def hear_statement(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
    if Mishap.now is not None and Mishap.now.kind == "death" and sql.startswith(("INSERT", "UPDATE", "DELETE")):
        Mishap.now.write()


def hear_commit(_connection: Any) -> None:
    if Mishap.now is not None and Mishap.now.kind == "death":
        Mishap.now.write()


def limit_pages(connection: sqlite3.Connection, *_: Any) -> None:
    """SQLite itself says that the disk is full, where it needs another page."""
    if Mishap.now is not None and Mishap.now.kind == "full disk":
        connection.execute("PRAGMA max_page_count = 1")  # no page more than there are


@cache
def listening(mishaps: type[Mishap] = Mishap) -> None:
    """Once in a process: an audit hook cannot be taken away. Without a mishap it does nothing."""

    def hear(happening: str, arguments: tuple[Any, ...]) -> None:
        if mishaps.now is not None and (happening == "open" or happening.startswith("os.")):
            mishaps.now.file(happening, arguments)

    sys.addaudithook(hear)


@contextmanager
def mishaps_possible() -> Iterator[None]:
    """Every file and every database of this process is listened to."""
    listening()
    event.listen(Engine, "before_cursor_execute", hear_statement)
    event.listen(Engine, "commit", hear_commit)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(warehouse, "write", cut(warehouse.write, 2))
        patched.setattr(pq, "write_table", cut(pq.write_table, 1))
        patched.setattr(launch, "PATIENCE", 3)
        try:
            yield
        finally:
            event.remove(Engine, "before_cursor_execute", hear_statement)
            event.remove(Engine, "commit", hear_commit)


def cut(write: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A writer of files that Python does not hear of: where it is stopped, half of the file is there."""

    def written(*arguments: Any, **named: Any) -> Any:
        result = write(*arguments, **named)
        target, mishap = arguments[place], Mishap.now
        if mishap is not None and isinstance(target, str | Path) and str(target).startswith(mishap.root):
            try:
                mishap.write()
            except (Death, OSError):
                Mishap.now = None  # what lies there is none of the dead process' doing any more
                os.truncate(target, os.path.getsize(target) // 2)
                Mishap.now = mishap
                raise
        return result

    return written


class Step:
    """What Dagster tells an asset and its IO manager of a run, as far as they ask."""

    log = logging.getLogger("simulation")

    def __init__(self, instance: dg.DagsterInstance, batch: str, output: str = "", partitioned: bool = True) -> None:
        self.instance, self.run_id, self.partition_key = instance, "simulated", batch
        self.run = SimpleNamespace(tags={"dagster/partition": batch})
        self.asset_key, self.has_asset_partitions = dg.AssetKey(output or "none"), partitioned
        self.asset_partition_keys = [batch]

    def add_output_metadata(self, _metadata: Any) -> None: ...


def body(asset: dg.AssetsDefinition) -> Callable[..., Any]:
    """What an asset does, without the machinery that starts it."""
    function: Callable[..., Any] = asset.op.compute_fn.decorated_fn  # type: ignore[union-attr]
    return function


@cache
def asked_about() -> dict[str, Any]:
    """Situations that a model writes for, by fingerprint."""
    prompts = load_prompts(PROJECT_ROOT / "prompts")
    found = situations(
        *customers.day(customers.EVERYONE), customers.streams(customers.SUBSCRIPTIONS), customers.cards()
    )
    return {fingerprint(request(one, prompts[one.about], "gpt-4o-mini")): one for one in distinct(found)}


class World:
    """The bank's SpendSense, everybody who uses it, and what they are promised."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng, self.seed, self.now, self.steps = Random(seed), seed, BEGIN, 0
        self.story: deque[str] = deque(maxlen=30)
        self.told: Counter[str] = Counter()
        limits = {"consent_days": self.rng.choice([0, 3]), "weekly_cap": self.rng.choice([0, 3])}
        self.settings = Settings(
            data=folder / "data",
            first_date=BEGIN.date().replace(day=1),
            workers=1,
            webhook_urls=ADDRESS,
            webhook_secret=SecretStr(SECRET),
            **limits,
        )
        self.settings.data.mkdir(parents=True)
        database_in(Path(self.settings.governance_url.removeprefix("sqlite:///"))).dispose()
        self.bank = Bank(self.rng)
        self.promises = Promises(self.settings.consent_days, active=set(OPERATORS))
        self.stack = ExitStack()
        self.engine = connect(self.settings.governance_url)
        event.listen(self.engine, "connect", hasty)
        event.listen(self.engine, "checkout", limit_pages)
        self.start()
        policy.keep(self.engine, policy.Rules(consent_days=self.settings.consent_days), self.now)
        with writing(self.engine) as session:
            for name in OPERATORS:
                operators.add(session, name, self.now)
        self.landed: list[Delivery] = []
        self.broken: list[Delivery] = []
        self.begun: Delivery | None = None
        self.erasing: str | None = None
        self.heads: list[tuple[int, str]] = []
        self.head = (0, "")
        self.events: dict[str, str] = {}
        self.sent = 0
        self.received: dict[str, Any] = {}
        self.written: set[str] = set()
        self.graph_days: list[dt.date] = []
        self.outage = False
        outbox.enqueue(self.engine, ADDRESS, self.now)
        for _ in range(CUSTOMERS):
            self.bank.someone_joins(self.now)
        self.land(self.bank.delivery(self.now))
        self.take_in()
        self.a_day_is_drafted()

    def start(self, *, home: bool = True) -> None:
        """A process starts on what is on the disk, as it lies there; one of the graph's in Dagster's ``home``."""
        self.engine.dispose()  # connections go; what it compiled says nothing of what is stored
        if home:
            gc.collect()  # folders of the dead process that Python would take away at some later time
            self.stack.close()
            self.instance = self.stack.enter_context(launch.opened_instance(self.settings))
            self.stack.callback(self.engine.dispose)
        self.resources = _resources(self.settings)
        self.service = Service(self.settings, self.engine, now=lambda: self.now, secret="a test's own")
        client = httpx2.Client(transport=httpx2.MockTransport(self.app))
        self.sender = Sender(self.service, client)

    # How things happen.

    def do(
        self, action: Callable[[], Any], *, whole: bool = True, again: bool = True, home: bool = False, longest: int = 7
    ) -> Any:
        """Let it happen. Whoever died, or had no room, starts again from the disk and, if ``again``, tries once more.

        ``whole``: what did not come to its end left nothing behind. None where it was given up for now.
        """
        kind = (
            self.rng.choice(["death", "death", "full disk"]) if self.rng.random() < (0.3 if home else MISHAPS) else None
        )
        before = self.everything() if whole and kind and self.rng.random() < 0.1 else None
        head = self.chain() if kind else None
        mishap = Mishap.now = Mishap(kind, self.rng.randrange(longest), self.settings.data) if kind else None
        try:
            return action()
        except Death:
            pass
        except Exception as error:
            if mishap is None or not (mishap.happened or no_room(error)):
                raise
        finally:
            Mishap.now = None
            if kind:
                self.start(home=home)
        self.told[f"{kind}s"] += 1
        self.story.append(f"  {kind}")
        if whole:
            assert self.chain() == head, "half of it happened"
            assert before is None or self.everything() == before, "half of it happened"
        self.nothing_half_written()
        return action() if again else None

    def perhaps_twice(self, tell: Callable[[], None]) -> None:
        """A message may come twice: whoever sent it did not hear the answer."""
        tell()
        if self.rng.random() < 0.05:
            self.told["doubled"] += 1
            tell()

    def chain(self) -> tuple[int, str]:
        with reading(self.engine) as session:
            return audit.head(session)

    def everything(self) -> dict[str, Any]:
        with self.engine.connect() as connection:
            return {
                table.name: connection.execute(table.select()).all() for table in Recommendation.metadata.sorted_tables
            }

    def refused(self, *codes: str) -> Any:
        """What is refused for these reasons is refused rightly; the rest is a failure."""

        @contextmanager
        def allowed() -> Iterator[None]:
            try:
                yield
            except SpendSenseError as error:
                if error.code not in codes:
                    raise
                self.told[error.code] += 1

        return allowed()

    def within(self, act: Callable[[Session], Any], **how: Any) -> Any:
        """``do`` of something that is done within one transaction."""

        def acted() -> Any:
            with writing(self.engine) as session:
                return act(session)

        return self.do(acted, **how)

    def anyone(self) -> str:
        return self.rng.choice(sorted(self.bank.people()))

    def operator(self) -> str:
        return self.rng.choice([*OPERATORS, "ada", "ben"])

    def some(self, status: str = "", number: int = 1) -> list[Any]:
        """Recommendations as an operator finds them: id, hashes, wording, whose."""
        with reading(self.engine) as session:
            rows = session.execute(
                select(Recommendation.__table__)
                .where(Recommendation.status == status if status else Recommendation.status != "")
                .order_by(Recommendation.registered_at.desc(), Recommendation.recommendation_id)
                .limit(30)
            ).all()
        return self.rng.sample(rows, min(number, len(rows)))

    def first(self, status: str) -> Any:
        """Any one of these, None where there is none."""
        return next(iter(self.some(status)), None)

    # The bank and its files.

    def land(self, delivery: Delivery) -> None:
        """A folder is put into the landing zone, sometimes twice."""
        made = self.settings.data.with_name("made") / delivery.name
        made.mkdir(parents=True)
        for table, rows in delivery.tables.items():
            if table == "transactions" and int(delivery.name[1:]) % 2:
                written = "".join(json.dumps(row) + "\n" for row in rows)
                (made / f"{table}.jsonl").write_text(written or "{}\n")
            else:
                (made / f"{table}.json").write_text(json.dumps(rows))
        if delivery.mistake:
            (made / "accounts.json").write_text('[{"account_id": "account-001", "user')
        zone = self.settings.landing
        self.do(lambda: landing.land(made, zone, delivery.name), longest=8)
        landing.clear_arriving(zone, dt.datetime.now(dt.UTC) + DAY)
        assert landing.land(made, zone, delivery.name) == zone / delivery.name, "landing again changes nothing"
        self.landed.append(delivery)

    def take_in(self, graph: bool = False) -> None:
        """A landed folder becomes part of the tables; what was begun first, the others in any order."""
        delivery = self.begun or self.rng.choice(self.landed)
        self.begun = delivery
        try:
            done = self.do(
                lambda: (self.through_the_graph if graph or delivery.mistake else self.directly)(delivery),
                whole=False,
                home=True,
                again=self.rng.random() < 0.6,
                longest=90 if graph else 40,
            )
        except (landing.BatchRefused, launch.RunFailed):
            if not delivery.mistake:
                raise
            self.told["refused files"] += 1
            self.taken(delivery)
            landing.shutil.rmtree(self.settings.landing / delivery.name)
            self.instance.delete_dynamic_partition("batch", delivery.name)
            self.broken.append(Delivery("", delivery.tables))
            return
        if not done:
            return
        assert not delivery.mistake, "a broken file was taken"
        self.taken(delivery)
        with reading(self.engine) as session:
            order = batches.registered(session)
        delivery.arrived = order[delivery.name].arrived_on
        self.bank.arrived.append(delivery)
        self.bank.arrived.sort(key=lambda one: order[one.name].arrival)
        self.promises.file_said(self.bank.people(), self.now)
        self.tables_are_as_delivered()
        self.told["deliveries"] += 1

    def taken(self, delivery: Delivery) -> None:
        self.begun = None
        self.landed.remove(delivery)

    def through_the_graph(self, delivery: Delivery) -> bool:
        launch.ingest_batch(self.definitions(), self.instance, delivery.name)
        return True

    def definitions(self) -> dg.Definitions:
        return build_defs(self.settings, resources={"clock": Clock(fixed=self.now.isoformat())})

    def directly(self, delivery: Delivery) -> bool:
        """The same assets, one after the other, without Dagster's machinery around them."""
        files, governance = self.resources["files"], self.resources["governance"]
        clock, store = Clock(fixed=self.now.isoformat()), self.resources["io_manager"]
        self.instance.add_dynamic_partitions("batch", [delivery.name])
        step = Step(self.instance, delivery.name)
        for out in body(ingest.raw_tables)(step, files, governance, clock):
            store.handle_output(Step(self.instance, delivery.name, out.output_name), out.value)
        raw = {
            f"raw_{table}": warehouse.read(
                store.backend, files.warehouse, f"raw_{table}", warehouse.partitions(files.warehouse, f"raw_{table}")
            )
            for table in ingest.RAW
        }
        for out in body(ingest.canonical_tables)(step, ingest.Merging(), files, **raw):
            if isinstance(out, dg.Output):
                store.handle_output(Step(self.instance, delivery.name, out.output_name, False), out.value)
        users = warehouse.read(store.backend, files.warehouse, "users")
        body(ingest.consent_records)(step, governance, clock, files, users=users)
        return True

    # Days.

    def live_consents(self) -> dict[tuple[str, str], str]:
        """Who consents to what by the record; it must be who said so."""
        with reading(self.engine) as session:
            periods = session.execute(select(ConsentPeriod.consent_id, ConsentPeriod.ordinal)).all()
            number = {row.consent_id: row.ordinal for row in periods}
            rows = consent.live_consents(session, self.now, self.settings.consent_days)
        found = {(row.user_id, row.scope): row.consent_id for row in rows}
        expected = {pair: self.promises.live(*pair, self.now) for pair in self.promises.consents}
        assert {pair: number[name] for pair, name in found.items()} == {
            pair: period[2] for pair, period in expected.items() if period
        }, "who consents"
        return found

    def a_day_is_drafted(self, back: int = 0) -> None:
        """Texts that show a figure of the merged tables, for everybody who consents; some are not fit to be shown."""
        if self.erasing or self.begun:
            return
        live, as_of = self.live_consents(), (self.now - back * DAY).date()
        merged = warehouse.load(self.settings.warehouse_root, "transactions").to_pylist()
        spent: Counter[str] = Counter()
        for row in merged:
            spent[row["user_id"]] -= round(row["amount"] * 100)
        drafts = []
        for (user, scope), consent_id in live.items():
            for template in self.rng.sample(["a", "b", "c", "d"], 2):
                offer = scope == "partner_offers"
                sharp = self.rng.choice(["", "", "", "", "", "known", "unknown"])
                figure = f"{spent[user] % 100 / 100:.0%}"
                line = f"Your card is at {figure}."
                said = f"{'Act now. ' if sharp else ''}{line}\n\n{EDUCATIONAL}" + (f"\n\n{TERMS}" if offer else "")
                drafts.append(
                    town.draft(
                        user,
                        {scope: consent_id},
                        template=template,
                        product=f"card-{template}" if offer else None,
                        figure=spent[user] % 100 / 100,
                        as_of=as_of,
                        persona="high_utilization" if template in "ab" else "subscription_heavy",
                        title=f"Your card is at {figure}, {template}",
                        content=said,
                        rationale=line,
                        findings=town.CRITICAL if sharp == "known" else "[]",
                    )
                )
        if drafts:
            self.do(
                lambda: registration.register_drafts(
                    self.engine,
                    drafts,
                    as_of,
                    self.now,
                    consent_days=self.settings.consent_days,
                    customers=sorted(self.bank.people()),
                )
            )
            self.heard(drafts)
            self.standing_approvals_apply()

    def heard(self, drafts: Sequence[dict[str, Any]]) -> None:
        """The promises hear what was handed in."""
        for one in drafts:
            with reading(self.engine) as session:
                period = session.get_one(ConsentPeriod, one["consent_id"])
            words = {name: one[name] for name in ("title", "content", "rationale")}
            assert one["content_hash"] == hashed(one["content_type"], **words, product_id=one["product_id"])
            known = self.promises.drafts.get(one["recommendation_id"])
            self.promises.words[one["recommendation_id"], one["content_hash"]] = words | {
                "severity": 2 if "critical" in one["findings"] else 0,
                "fit": "Act now" not in one["content"],
            }
            self.promises.drafts[one["recommendation_id"]] = Draft(
                one["user_id"],
                (one["user_id"], period.scope, period.ordinal),
                one["content_type"],
                f"{one['content_type']} {one['product_id'] or one['template_id']}",
                one["product_id"],
                (one["template_id"], one["template_hash"]),
                topics.topic_of(one),
                [*(known.registered if known else []), self.now],
            )

    def the_graph_runs(self) -> None:
        """A whole day through Dagster: a delivery, the refresh to the queue, the page and the export, the gate."""
        if self.erasing:
            return
        if self.begun or self.landed:
            self.take_in(graph=True)
        if self.begun:
            return
        day = (self.now - DAY).date()
        launched = lambda: launch.daily_refresh(self.definitions(), self.instance, day)  # noqa: E731
        before = self.live_consents()
        self.do(launched, whole=False, home=True, longest=150)
        drafts = warehouse.load(self.settings.warehouse_root, "draft_recommendations", [day.isoformat()]).to_pylist()
        assert {one["consent_id"] for one in drafts} <= set(before.values()), "drafted without consent"
        self.heard(drafts)
        self.graph_days.append(day)
        self.told["days through Dagster"] += 1

    # Customers.

    def limit(self) -> dict[str, int]:
        return {"consent_days": self.settings.consent_days}

    def asking_for(self, user: str) -> Any:
        """Of somebody who was erased nothing is known."""
        return self.refused("unknown_user") if user in self.promises.erased else ExitStack()

    def a_customer_agrees(self) -> None:
        self.a_customer_says(yes=True)

    def a_customer_says_no(self) -> None:
        self.a_customer_says(yes=False)

    def a_customer_says(self, *, yes: bool) -> None:
        user, scopes = self.anyone(), self.rng.choice([list(SCOPES), *([one] for one in SCOPES)])
        say = (
            (lambda: town.grant(self.engine, user, self.now, scopes=scopes, **self.limit()))
            if yes
            else (lambda: town.revoke(self.engine, user, self.now, scopes=scopes))
        )

        def tell() -> None:
            with self.asking_for(user):
                self.do(say)
                assert not (yes and user in self.promises.erased), "an erased customer consented"
                if user not in self.promises.erased:
                    (self.promises.grant if yes else self.promises.revoke)(user, scopes, self.now)

        self.perhaps_twice(tell)

    def a_customer_says_no_at_the_branch(self) -> None:
        self.bank.someone_says_no(self.anyone(), self.now)

    def a_customer_switches_a_topic(self) -> None:
        user, topic = self.anyone(), self.rng.choice(["debt", "recurring"])
        wanted = self.rng.random() < 0.7

        said = {"actor": user, "source": "test", "channel": "app"}
        with self.asking_for(user):
            self.within(lambda session: topics.choose(session, user, {topic: wanted}, self.now, **said))
            (self.promises.declined.discard if wanted else self.promises.declined.add)((user, topic))
            if not wanted:
                self.promises.end(lambda draft: (draft.user, draft.topic) == (user, topic))

    def a_customer_says_something_back(self) -> None:
        with reading(self.engine) as session:
            shown = self.shown(session)
        if not shown:
            return
        one = shown[self.rng.choice(sorted(shown))]
        kind = self.rng.choice(KINDS[:4] * 4 + KINDS)
        self.sent += 1
        said = {"event_id": f"e{self.sent}", "release_id": one["release_id"], "kind": kind, "occurred_at": self.now}

        def tell() -> None:
            done = self.do(lambda: feedback.record(self.engine, [said], self.now, source="test"))
            assert done["accepted"] + done["duplicate"] == 1
            assert bool(done["duplicate"]) == (said["event_id"] in self.events), "each word counts once"
            self.events[said["event_id"]] = one["user_id"]
            if kind in feedback.HOLDING and done["accepted"]:
                self.promises.held.add(self.promises.drafts[one["recommendation_id"]].wording)

        self.perhaps_twice(tell)

    def a_customer_reads(self) -> None:
        user = self.anyone()
        expected = {one[1] for one in self.promises.feed(self.now).values() if one[0] == user}
        if self.rng.random() < 0.5:
            rows = v1.of_customer(self.service, user)
        else:
            rows = gate.feed(self.settings, self.engine, self.now, user)
        assert {one["title"] for one in rows} == expected, f"what {user} reads"

    # Operators.

    def count(self, rows: Sequence[dict[str, Any]], action: str, operator: str) -> None:
        """What was decided, which must have been allowed."""
        self.told.update(row["refused"] or action for row in rows)
        names = [row["recommendation_id"] for row in rows if row["ok"]]
        with reading(self.engine) as session:
            now = {name: session.get_one(Recommendation, name).content_hash for name in names}
        for name in names:
            self.promises.decided(action, name, operator, now[name], self.promises.four_eyes)

    def an_operator_decides(self) -> None:
        action = self.rng.choice(["approve", "approve", "approve", "reject", "undo"])
        operator = self.operator()
        some = self.some("approved" if action == "undo" else self.rng.choice(["pending_approval", ""]), 1)
        stale = self.rng.random() < 0.2

        def tell() -> None:
            asked = [
                review.Request(
                    action, one.recommendation_id, operator, one.original_hash if stale else one.content_hash, "because"
                )
                for one in some
            ]
            self.count(self.do(lambda: review.decide(self.engine, asked, self.now)), action, operator)

        self.perhaps_twice(tell)

    def an_operator_approves_many(self) -> None:
        operator = self.operator()
        asked = [
            review.Request("approve", one.recommendation_id, operator, one.content_hash)
            for one in self.some("pending_approval", 20)
        ]
        self.count(self.do(lambda: review.decide(self.engine, asked, self.now)), "approve", operator)

    def an_operator_writes_better(self) -> None:
        operator, sharp = self.operator(), self.rng.random() < 0.3
        if (one := self.first("pending_approval")) is None:
            return
        name, title = one.recommendation_id, f"Better {self.steps}"
        words = self.promises.words[name, one.content_hash]
        content = words["content"].replace("Act now. ", "").replace("Your card", "Your own card", 1)
        content = f"Act now. {content}" if sharp else content
        asked = review.Request("override", name, operator, one.content_hash, "calmer", title, content)
        rows = self.do(lambda: review.decide(self.engine, [asked], self.now, guardrails=review_draft))
        if rows[0]["ok"]:
            assert not sharp, "words that hurry a reader stood"
            new = hashed(one.content_type, title, content, words["rationale"], one.product_id)
            better = {"title": title, "content": content, "severity": 0, "fit": True}
            self.promises.words[name, new] = words | better
            self.promises.authors[name, new] = operator
        self.count(rows, "override", operator)

    def an_operator_approves_a_wording(self) -> None:
        operator = self.operator()
        if (one := self.first("pending_approval")) is None:
            return
        wording = f"{one.template_id}@{one.template_hash}"
        if self.rng.random() < 0.8:
            self.do(lambda: queue.show(self.engine, one.recommendation_id, self.now, operator_id=operator))
        if self.rng.random() < 0.7:
            done = self.do(lambda: wordings.approve_template(self.engine, wording, operator, self.now))
            self.count(done["results"], "approve", operator)
            return
        until = self.now + self.rng.randint(1, 60) * DAY
        with self.refused("sample_required", "inactive_operator"):
            self.do(lambda: standing.approve(self.engine, wording, operator, self.now, until=until))
            assert operator in self.promises.active, "who is gone approved for later"

    def standing_approvals_apply(self) -> None:
        with reading(self.engine) as session:
            given = {
                one["standing_id"]: one["operator_id"] for one in standing.listed(session, self.now) if one["live"]
            }
        approved = self.do(lambda: standing.apply(self.engine, self.now))
        for name in approved:
            with reading(self.engine) as session:
                decision = queue.full(session, name, self.now)["decisions"][-1]
            by = given[decision["reason"].rpartition(" ")[2]]
            assert by == decision["operator_id"]
            self.count([{"recommendation_id": name, "ok": True, "refused": None}], "approve", by)
        self.told["standing"] += len(approved)

    def somebody_comes_or_goes(self) -> None:
        gone = sorted(set(OPERATORS) - self.promises.active)
        name, by = self.rng.choice(gone * 3 + [*OPERATORS]), self.rng.choice(OPERATORS)
        leaves = name not in gone and len(gone) < 2

        change = operators.deactivate if leaves else operators.add
        with self.refused("another_required", "inactive_operator"):
            self.within(lambda session: change(session, name, self.now, actor=by))
            assert by in self.promises.active, "who is gone lets nobody in"
            (self.promises.active.discard if leaves else self.promises.active.add)(name)

    def the_rule_changes(self) -> None:
        four_eyes, by = self.rng.random() < 0.5, self.operator()
        rules = policy.Rules(four_eyes, self.settings.consent_days)
        with self.refused("unchanged", "inactive_operator"):
            self.within(lambda session: policy.set_policy(session, rules, by, "a test", self.now))
            self.promises.four_eyes = four_eyes

    def an_admin_recalls(self) -> None:
        what = self.rng.choice(["recommendation", "recommendation", "recommendation", "template", "product"])
        if (one := self.first(self.rng.choice(["approved", ""]))) is None:
            return
        wording, own = (one.template_id, one.template_hash), self.promises.drafts.get(one.recommendation_id)
        subject, meant = {
            "recommendation": (one.recommendation_id, lambda draft: draft is own),
            "template": ("@".join(wording), lambda draft: draft.wording == wording),
            "product": (one.product_id or "card-a", lambda draft: draft.product == (one.product_id or "card-a")),
        }[what]
        with self.refused("nothing_to_recall"):
            self.do(lambda: endings.recall(self.engine, what, subject, self.now, reason="a test"))
            self.promises.end(meant)

    def an_operator_looks_at_what_is_held(self) -> None:
        operator = self.operator()
        if self.promises.held:
            wording = self.rng.choice(sorted(self.promises.held))
            with self.refused("inactive_operator"):
                self.do(lambda: endings.clear_hold(self.engine, "@".join(wording), operator, self.now, note="looked"))
                self.promises.held.discard(wording)

    # The gate, and who is told.

    def the_gate_runs(self) -> None:
        promises, cap, now = self.promises, self.settings.weekly_cap, self.now

        def tell() -> None:
            may = {name for name in promises.approved if promises.may_go(name, now) is None}
            may = {name for name in may if promises.words[name, promises.approved[name][0]]["fit"]}
            fresh = {name for name in may if min(promises.drafts[name].registered) + 14 * DAY > now}
            had = Counter(one.draft.user for one in promises.releases.values() if one.at > now - 7 * DAY)
            released = self.do(lambda: gate.run(self.settings, self.engine, now)).released
            assert all(promises.words[name, promises.approved[name][0]]["fit"] for name in released)
            promises.release(released, now, self.settings.release_days)
            sent = Counter(promises.drafts[name].user for name in released)
            if cap:
                assert all(had[user] + number <= cap for user, number in sent.items()), "more than the week's texts"
            for user, number in Counter(promises.drafts[name].user for name in fresh).items():
                assert sent[user] >= min(number, max(cap - had[user], 0) if cap else number), f"{user} waits in vain"
            self.told["released"] += len(released)

        self.perhaps_twice(tell)

    def app(self, message: httpx2.Request) -> httpx2.Response:
        """The bank's app hears of releases, or does not, or its answer is lost."""
        how = self.rng.random() if self.outage else 1.0
        if how < 0.3:
            raise httpx2.ConnectError("no route", request=message)
        if how < 0.6:
            return httpx2.Response(500)
        if message.headers["webhook-id"] in self.received:
            self.told["heard twice"] += 1
        self.received[message.headers["webhook-id"]] = json.loads(message.content)
        if how < 0.8:
            raise httpx2.ReadTimeout("too late", request=message)
        return httpx2.Response(200)

    def the_app_is_told(self) -> None:
        self.outage = self.rng.random() < 0.4
        self.do(lambda: self.sender.tell(ADDRESS), whole=False, again=False, longest=6)

    def a_model_writes(self) -> None:
        """A few situations are asked about; the model answers well, badly, late, or not at all."""
        known = asked_about()
        wanted = dict(self.rng.sample(sorted(known.items()), 4))
        with reading(self.engine) as session:
            standing_texts = generations.still_standing(session, wanted)
        assert set(standing_texts) == self.written & set(wanted), "what was written is kept, and nothing else"
        seconds = [0.0]

        async def sleep(time: float) -> None:
            seconds[0] += time

        async def answer(asked: Any) -> Answer:
            good = json.dumps({"pieces": good_pieces(dict(asked))})
            shaming = good.replace("A calm look", "Act now")
            kind = self.rng.choice(["good", "good", "timeout", "gone", "broken", "empty", "shaming", "refused"])
            if kind in ("timeout", "gone"):
                raise Unanswered(kind, "a test", again=True, dead=kind == "gone", paid=True)
            refusal = "no" if kind == "refused" else None
            words = {"good": good, "broken": good[:99], "empty": "", "shaming": shaming}.get(kind)
            return Answer(words, refusal, "stop", None, 10, 10)

        generator = Generator(
            answer, load_prompts(PROJECT_ROOT / "prompts"), "gpt-4o-mini", Budget(12, 10**6, 1.0, (0.1, 0.1)),
            2, lambda: seconds[0], sleep, self.rng.random, lambda some: None, lambda done, of: None,
        )  # fmt: skip
        missing = [one for key, one in wanted.items() if key not in standing_texts]
        found = [one for one in asyncio.run(generator.write(missing)) if one.requests]
        assert generator.budget.spent_requests <= 12
        if found:
            self.within(lambda session: generations.keep(session, found, self.now, None))
        for one in found:
            assert not any(faults(piece, one.situation) for piece in one.templates), "an unfit text was kept"
            if one.written:
                self.written.add(one.fingerprint)

    def somebody_exports(self) -> None:
        """The tables of a day that went through Dagster, of those who agree now."""
        if not self.graph_days or self.erasing:
            return
        day = self.rng.choice(self.graph_days)
        tables = {
            name: warehouse._stored(self.settings.warehouse_root, name, [day.isoformat()])[1][0]
            for name in export.EXPORTED
        }
        agreed = {user for user, _ in self.live_consents()}
        count, final = self.chain()
        self.do(
            lambda: export.analytics_export(
                tables, self.settings.exports_root, day, agreed, {"count": count, "hash": final}
            ),
            longest=14,
        )
        self.exports_are_whole()
        for file in (Path(self.settings.exports_root) / day.isoformat()).glob("*.parquet"):
            if "user_id" in (columns := pq.read_table(file)).column_names:
                assert set(columns["user_id"].to_pylist()) <= agreed, "exported without consent"
        self.told["exports"] += 1

    # Leaving.

    def a_matter_is_opened_or_closed(self) -> None:
        user, by = self.anyone(), self.operator()
        if user in self.promises.erased:
            return
        with self.refused("inactive_operator"):
            if not self.promises.on_hold[user]:
                self.within(lambda session: holds.place(session, user, by, "a matter", self.now))
                self.promises.on_hold[user] = 1
                return
            lifted = self.within(lambda session: holds.lift(session, user, by, "it is closed", self.now))
            self.promises.on_hold[user] = 0
            if lifted["waiting"] and not self.erasing:
                self.erase(user)

    def a_customer_leaves(self) -> None:
        user = self.anyone()
        if self.erasing or self.begun or user in OPERATORS or len(self.bank.people()) < CUSTOMERS - 4:
            return
        self.bank.someone_joins(self.now)
        self.erase(user)

    def erase(self, user: str) -> None:
        """Whoever asked for it is visible nowhere from the first moment; a crash is followed by the same command."""
        by = self.rng.choice(sorted(self.promises.active))
        self.erasing = user

        def command() -> Any:
            return erase_run.erase(
                self.settings, self.instance, user, by, f"request {self.steps}", Clock(fixed=self.now.isoformat())
            )

        try:
            done = self.do(command, whole=False, again=False, home=True, longest=60)
        except SpendSenseError as error:
            if error.code != "on_hold":
                raise
            assert self.promises.on_hold[user], "no hold stands"
            self.erasing = None
            self.told["on hold"] += 1
            return
        with reading(self.engine) as session:
            begun = erased_rows.remembered(session).holds("user", user)
        # A command that died may have done so before it was told of the hold.
        assert not (self.promises.on_hold[user] and (begun or done)), "erased in spite of a hold"
        if begun and user not in self.promises.erased:
            self.promises.erased.add(user)
            self.promises.revoke(user, [one for one in SCOPES if (user, one) in self.promises.consents], self.now)
        if not done:
            return
        self.erasing = None
        self.bank.erased.add(user)
        self.promises.forget(user)
        self.events = {name: whose for name, whose in self.events.items() if whose != user}
        gone = [account for account, held in self.bank.holders.items() if set(held) <= self.bank.erased]
        sole = [account for account in gone if user in self.bank.holders[account]]
        assert not naming(SimpleNamespace(settings=self.settings), user, *sole), f"{user} is named"  # type: ignore[arg-type]
        self.tables_are_as_delivered(judged=False)
        self.told["erased"] += 1

    def an_erasure_is_carried_on(self) -> None:
        if self.erasing:
            self.erase(self.erasing)

    # What must never be.

    def somebody_changes_words_in_the_database(self) -> None:
        """Past SpendSense. Nobody approves, releases or reads them, and the record says so; then they come back."""
        served = {one.draft.user for one in self.promises.releases.values() if one.at > self.now - 7 * DAY}
        ready = [
            name
            for name, (words, _) in self.promises.approved.items()
            if self.promises.may_go(name, self.now) is None
            and self.promises.words[name, words]["fit"]
            and not (self.settings.weekly_cap and self.promises.drafts[name].user in served)
        ]
        waiting = [one.recommendation_id for one in self.some("pending_approval")]
        names = self.rng.choice([ready, ready, waiting, sorted(self.promises.feed(self.now))])
        if not names or self.erasing:
            return
        name, more = self.rng.choice(names), " And more."
        put, back = ("content || :more", "substr(content, 1, length(content) - length(:more))")
        change = "UPDATE recommendation_texts SET content = {} WHERE recommendation_id = :name"
        with self.engine.begin() as connection:
            connection.execute(text(change.format(put)), {"more": more, "name": name})
        with reading(self.engine) as session:
            assert not audit.verify(session).ok, "the record does not notice"
            assert name not in self.shown(session), "changed words are shown"
            hashed_as = session.get_one(Recommendation, name).content_hash
        asked = review.Request("approve", name, min(self.promises.active), hashed_as)
        (row,) = review.decide(self.engine, [asked], self.now)
        assert not row["ok"], "changed words were approved"
        released = gate.run(self.settings, self.engine, self.now).released
        assert name not in released, "changed words were released"
        self.promises.release(released, self.now, self.settings.release_days)
        with self.engine.begin() as connection:
            connection.execute(text(change.format(back)), {"more": more, "name": name})
        self.told["tampered"] += 1

    def shown(self, session: Session) -> dict[str, dict[str, Any]]:
        """The feed of everybody."""
        rows = release.released(session, self.now, **self.limit(), withdrawn=self.promises.withdrawn)
        return {row["recommendation_id"]: row for row in rows}

    def what_is_shown_may_be_shown(self) -> None:
        """After each step: the feed is what was released and still stands, word for word; the chain only grew."""
        with reading(self.engine) as session:
            head, shown = audit.head(session), self.shown(session)
        assert head[0] > self.head[0] or head == self.head, "the chain only grows"
        self.head = head
        for row in shown.values():
            words = (row["content_type"], row["title"], row["content"], row["rationale"], row["product_id"])
            assert hashed(*words) == row["content_hash"], "other words than were decided"
        told = {
            name: (row["user_id"], row["title"], row["content"], row["content_hash"]) for name, row in shown.items()
        }
        assert told == self.promises.feed(self.now), "the feed"

    def the_day_is_in_order(self) -> None:
        """After each day: the record verifies from the heads that were kept, and everybody's word is as given."""
        self.live_consents()
        with reading(self.engine) as session:
            said = session.execute(select(FeedbackEvent.event_id, FeedbackEvent.user_id)).all()
            assert {row.event_id: row.user_id for row in said} == self.events, "words that came back"
            if self.steps // STEPS_A_DAY % 7 == 0:
                found = audit.verify(session, self.heads)
                assert found.ok, found
                assert release.every_release_had_consent(session).violations == []
                self.heads.append((found.count, found.head))

    def tables_are_as_delivered(self, *, judged: bool = True) -> None:
        """Each table holds the newest delivery of each id, and nothing else; what is rejected, once it was judged."""
        if self.erasing or self.begun:
            return
        columns = {
            "users": ("user_id",),
            "accounts": ("account_id", "user_id"),
            "transactions": (
                *("transaction_id", "user_id", "account_id", "date", "amount", "pending", "merchant_name"),
            ),
            "products": ("product_id", "active"),
            "quarantined_rows": ("batch", "table"),
        }
        expected = self.bank.tables()
        for table, names in columns.items() if judged else list(columns.items())[:-1]:
            rows = warehouse.load(self.settings.warehouse_root, table).to_pylist()
            if table == "quarantined_rows" and self.bank.erased:
                rows = [row for row in rows if '"unknown_account"' not in row["reasons"]]
            found = Counter(tuple(str(v) if isinstance(v := row[n], dt.date) else v for n in names) for row in rows)
            assert found == expected[table], (
                f"{table}: missing {sorted((expected[table] - found).items())[:5]}, "
                f"too much {sorted((found - expected[table]).items())[:5]}"
            )
        self.promises.withdrawn = {name for name, active in expected["products"] if not active}
        known = {name for name, _ in expected["products"]}
        self.promises.withdrawn |= {"card-a", "card-b", "card-c", "card-d"} - known

    def nothing_half_written(self) -> None:
        """What lies in its place can be read; what is visible in the landing zone is whole."""
        for path in [*Path(self.settings.warehouse_root).rglob("*.parquet")]:
            if path.stat().st_mtime_ns > self.looked:
                pq.read_metadata(path)
        self.looked = max(
            (p.stat().st_mtime_ns for p in Path(self.settings.warehouse_root).rglob("*.parquet")), default=0
        )
        made = self.settings.data.with_name("made")
        with suppress(FileNotFoundError):
            for folder in self.settings.landing.iterdir():
                if not (folder.name.startswith(".") or self.promises.erased or self.erasing):
                    assert landing.content_hash(folder) == landing.content_hash(made / folder.name)
        self.exports_are_whole()

    looked = 0

    def exports_are_whole(self) -> None:
        """An export is the one of before or the new one, with the hashes of its manifest."""
        root = Path(self.settings.exports_root)
        for day in root.glob("????-??-??"):
            manifest = json.loads((day / export.MANIFEST).read_text())
            for table in manifest["tables"].values():
                content = (day / table["file"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == table["sha256"], "half an export"

    # A life.

    ACTORS: ClassVar[dict[str, float]] = {
        "a_customer_agrees": 5,
        "a_customer_says_no": 4,
        "a_customer_says_no_at_the_branch": 1,
        "a_customer_switches_a_topic": 3,
        "a_customer_says_something_back": 12,
        "a_customer_reads": 45,
        "an_operator_decides": 22,
        "an_operator_approves_many": 4,
        "an_operator_writes_better": 8,
        "an_operator_approves_a_wording": 6,
        "somebody_comes_or_goes": 2,
        "the_rule_changes": 1,
        "an_admin_recalls": 1,
        "an_operator_looks_at_what_is_held": 3,
        "the_gate_runs": 6,
        "the_app_is_told": 5,
        "a_model_writes": 1,
        "somebody_exports": 1,
        "a_matter_is_opened_or_closed": 1,
        "an_erasure_is_carried_on": 3,
        "somebody_changes_words_in_the_database": 1.5,
    }
    """Who acts, and how often beside the others."""

    RARE: ClassVar[dict[str, float]] = {"the_graph_runs": 1 / 30, "a_customer_leaves": 1 / 20}
    """Once a day with this probability."""

    def step(self, name: str) -> None:
        """Somebody acts, and then everything shown must be what may be shown."""
        self.now += dt.timedelta(seconds=self.rng.randint(1, 500))
        if self.rng.random() < 0.003:
            self.now -= dt.timedelta(hours=2)  # a clock is set
        self.steps += 1
        self.story.append(f"{self.steps} {self.now:%m-%d %H:%M} {name}")
        self.told[name] += 1
        getattr(self, name)()
        self.what_is_shown_may_be_shown()

    def day(self) -> None:
        """A delivery now and then, a run of the day, and whatever else people do."""
        if self.rng.random() < 0.12:
            again = self.broken.pop() if self.broken else None
            delivery = self.bank.delivery(self.now)
            self.land(delivery)
            if again:
                self.bank.batches += 1
                self.land(Delivery(f"b{self.bank.batches:04}", again.tables))
        if self.landed and self.rng.random() < 0.5 and not self.erasing:
            self.step("take_in")
        self.step("a_day_is_drafted")
        for name, share in self.RARE.items():
            if self.rng.random() < share:
                self.step(name)
        for name in self.rng.choices([*self.ACTORS], [*self.ACTORS.values()], k=STEPS_A_DAY):
            self.step(name)
        self.the_day_is_in_order()
        self.now = (self.now + DAY).replace(hour=6, minute=0, second=0)

    def end(self) -> None:
        """What was begun is brought to its end, and the app hears everything that it did not hear."""
        while self.erasing:
            self.step("an_erasure_is_carried_on")
        while self.begun or self.landed:
            self.step("take_in")
        self.outage = False
        for _ in range(20):
            self.now += 2 * DAY
            outbox.replay(self.engine, self.now)
            self.sender.tell(ADDRESS)
        with reading(self.engine) as session:
            links = session.execute(select(AuditEntry.seq, AuditEntry.salt).where(AuditEntry.kind.in_([*outbox.TYPES])))
            unheard = {f"msg_{seq}" for seq, salt in links if salt is not None} - set(self.received)
        assert not {one for one in unheard if int(one[4:]) > self.first_message}, "messages that nobody heard"
        heard = {one["data"]["recommendation_id"] for one in self.received.values() if one["type"] == "released"}
        assert set(self.promises.releases) <= heard

    first_message = 0


def no_room(error: BaseException | None) -> bool:
    """Whether it was the full disk, whatever was made of it on the way."""
    while error is not None:
        if getattr(error, "code", None) == "disk_full" or getattr(error, "errno", None) == errno.ENOSPC:
            return True
        if "disk is full" in str(error) or "No space left" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def live(folder: Path, seed: int, days: int) -> World:
    """Simulate so many days from the seed; a failure says how it came about."""
    logging.disable(logging.CRITICAL)
    with mishaps_possible():
        world: World | None = None
        try:
            world = World(folder, seed)
            for _ in range(days):
                world.day()
            world.end()
        except BaseException as error:
            Mishap.now = None
            error.add_note(
                "\n".join(
                    [
                        f"seed {seed}, step {world.steps if world else 0}; the last steps:",
                        *(world.story if world else ()),
                    ]
                )
            )
            again = f"SIMULATION_SEED={seed} SIMULATION_DAYS={days} pytest -n 0 -m verify"
            error.add_note(f"again: {again} spendsense_pipeline_tests/{Path(__file__).name} -k one_seed")
            raise
        finally:
            logging.disable(logging.NOTSET)
            if world:
                world.stack.close()
    return world


def test_some_weeks_of_a_small_bank(tmp_path: Path) -> None:
    live(tmp_path, seed=1, days=2)


@pytest.mark.verify
@pytest.mark.parametrize("seed", range(10, 14))
def test_a_year_of_a_small_bank(tmp_path: Path, seed: int, record_property: Callable[[str, object], None]) -> None:
    world = live(tmp_path, seed, days=365)
    record_property("told", dict(world.told))
    record_property("steps", world.steps)


@pytest.mark.verify
def test_one_seed(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The seed of a failure, again."""
    world = live(tmp_path, int(os.environ.get("SIMULATION_SEED", "1")), int(os.environ.get("SIMULATION_DAYS", "3")))
    record_property("told", dict(world.told))
    sys.stdout.write(f"{world.steps} steps: {sorted(world.told.items())}\n")

"""The service under load: a real `spendsense serve` on 127.0.0.1, clients over HTTP, either database.

Each database gets a data folder of its own, filled by the package's own functions: the demo's customers (for drafts at
once), texts that wait in several wordings, ages and gravities, and customers with releases. What is counted afterwards
is counted in the database, by a query of the benchmark's own. Load is made in this process, beside the service.
"""

import contextlib
import datetime as dt
import http.client
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, select, text

from benchmarks import governance, measure
from spendsense_pipeline.governance import consent, credentials, operators, registration, release, review
from spendsense_pipeline.governance.database import open_or_create, reading, writing
from spendsense_pipeline.governance.models import Decision, FeedbackEvent, Recommendation, Release

PARTS = ("start", "queue", "feed", "changes", "decisions", "drafts", "events")
DAY = dt.timedelta(days=1)
POLL = 1.5
"""Seconds between two looks of the desk's page at what others did (``static/desk.js``)."""
RELEASES = 5
"""Releases of each customer who has any."""
PAGES = 20
"""Requests for each page and queue route."""
KINDS = ("delivered", "seen", "opened", "seen", "helpful", "opened", "acted", "seen", "not_helpful", "dismissed")
COMPLAINTS_EVERY = 10_000
"""One event in so many holds its wording, which takes its turn in the one order of writes."""
REPEATED = 0.05
"""Share of events that arrive a second time."""
BATCH = 1_000
START_SECONDS, PAGE_SECONDS, JSON_SECONDS, OVERVIEW_SECONDS = 5.0, 0.3, 0.15, 0.5
FEED_SECONDS, SEEN_SECONDS, DRAFT_SECONDS = 0.02, 2.0, 2.0


@dataclass(frozen=True)
class Sizes:
    """How much is asked of the service. ``rate`` in requests a second, ``seconds`` how long it is kept up."""

    waiting: int = 10_000
    customers: int = 1_000
    rate: int = 100
    seconds: int = 30
    decisions: int = 1_000
    operators: int = 8
    events: int = 100_000
    clients: int = 100


class Finding(NamedTuple):
    """What was measured: a sentence of figures, the aim, and whether it was met (None: nothing was aimed at)."""

    what: str
    measured: str
    aim: str = ""
    met: bool | None = None


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON; a refusal ends the benchmark."""
        self.require(200, 201)
        return json.loads(self.body)

    def require(self, *statuses: int) -> "Answer":
        """Stop at any other status: what fails quickly must not look fast."""
        if self.status not in statuses:
            raise SystemExit(f"status {self.status}: {self.body[:500]!r}")
        return self


class Client:
    """One connection that is kept open, with headers of its own. Not for two threads at once."""

    def __init__(self, port: int, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self._ask("GET", path, None, headers)

    def post(self, path: str, payload: Any = None) -> Answer:
        """POST the payload as JSON."""
        return self._ask("POST", path, None if payload is None else json.dumps(payload).encode(), {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        typed = {"content-type": "application/json"} if body is not None else {}
        self._connection.request(method, path, body, self.headers | own | typed)
        answer = self._connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read())


class Served:
    """A running service: its port, how long it took to its first page, clients of every kind."""

    def __init__(self, engine: Engine, environment: dict[str, str]) -> None:
        self.engine, self._data = engine, Path(environment["SPENDSENSE_DATA"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "spendsense_pipeline.cli", "serve", "--port", str(self.port)]
        self._log = open(self._data / "service.log", "wb")  # noqa: SIM115 - closed by stop
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, env=environment)  # noqa: S603
        while True:
            with contextlib.suppress(OSError):
                Client(self.port).get("/login").require(200)
                break
            if self.process.poll() is not None:
                raise SystemExit((self._data / "service.log").read_text())
            time.sleep(0.02)
        self.seconds_to_login = time.perf_counter() - started

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()

    def program(self, *scopes: str) -> Client:
        """A program's client, with a token of its own."""
        with writing(self.engine) as session:
            made = credentials.add_token(session, "benchmark", scopes, _now(), created_by="benchmark")
        return Client(self.port, authorization=f"Bearer {made['token']}")

    def person(self, name: str) -> Client:
        """Somebody who logged in by a link, with what the page's script sends."""
        from spendsense_pipeline.service.login import login_link
        from spendsense_pipeline.service.state import Service, kept_secret
        from spendsense_pipeline.settings import Settings

        service = Service(Settings(data=self._data), self.engine, secret=kept_secret(self._data))
        client = Client(self.port)
        link = login_link(service, name, "")
        client.headers["cookie"] = client.get(link).require(303).headers["set-cookie"].partition(";")[0]
        page = client.get("/desk").require(200).body.decode()
        client.headers["x-csrf-token"] = re.search(r'<meta name="csrf" content="([^"]+)"', page)[1]
        return client


def findings(kind: str, sizes: Sizes, parts: Sequence[str] = PARTS) -> Iterator[Finding]:
    """Fill a database of one kind, serve it, and measure the parts that are asked for."""
    with tempfile.TemporaryDirectory() as folder, governance.database(kind) as empty:
        url = empty.url.render_as_string(hide_password=False)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(measure.CONFIGURED)}
        environment = kept | {
            "SPENDSENSE_DATA": folder,
            "SPENDSENSE_DATABASE_URL": url,
            "SPENDSENSE_RATE_LIMIT": "100000",  # all come from one address here
        }
        if "drafts" in parts:
            demo = [sys.executable, "-m", "spendsense_pipeline.cli", "demo"]
            subprocess.run(demo, env=environment, check=True, capture_output=True)  # noqa: S603 - our own
        engine = open_or_create(url)
        fill(engine, sizes)
        governance.settle(engine)
        served = Served(engine, environment)
        try:
            for part in [part for part in PARTS if part in parts]:
                yield from MEASURED[part](served, sizes)
        finally:
            served.stop()
            engine.dispose()


def fill(engine: Engine, sizes: Sizes) -> None:
    """Operators, customers with releases, and what waits: registered over twelve days, a tenth with a finding."""
    now = _now()
    with writing(engine) as session:
        for name in _operators(sizes):
            operators.add(session, name, now - 20 * DAY, standing=operators.Standing(role="operator"))
    per_customer = governance.PER_CUSTOMER
    served = [f"customer-{number:05}" for number in range(sizes.customers)]
    others = [f"waiting-{number:05}" for number in range(max(1, sizes.waiting // per_customer))]
    with writing(engine) as session:
        rows = [{"user_id": name, "consent_status": True} for name in [*served, *others]]
        consent.open_first_periods(session, rows, now - 20 * DAY, source="benchmark")
    periods = governance.consents(engine)
    drafts = [
        governance.draft(name, periods[name], number, now.date()) for name in served for number in range(RELEASES)
    ]
    registration.register_drafts(engine, drafts, now.date(), now - DAY)
    asked = [review.Request("approve", one["recommendation_id"], "operator-0", one["content_hash"]) for one in drafts]
    for start in range(0, len(asked), review.MOST_AT_ONCE):
        review.decide(engine, asked[start : start + review.MOST_AT_ONCE], now - DAY)
    release.run_gate(engine, now - DAY)
    ages = 6
    for age in range(ages):
        registered = now - 2 * age * DAY - DAY / 2
        some = [
            governance.draft(name, periods[name], number, registered.date()) | _findings(name, number)
            for name in others[age::ages]
            for number in range(per_customer)
        ]
        registration.register_drafts(engine, some, registered.date(), registered)


def _findings(name: str, number: int) -> dict[str, str]:
    """A finding in every tenth draft, a grave one in every hundredth."""
    place = int(name.rpartition("-")[2]) * governance.PER_CUSTOMER + number
    if place % 10:
        return {}
    severity = "critical" if place % 100 == 0 else "notable"
    return {"findings": json.dumps([{"check": "tone", "severity": severity, "message": "reads as a reproach"}])}


def _operators(sizes: Sizes) -> list[str]:
    return [f"operator-{number}" for number in range(sizes.operators)]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def start(served: Served, _sizes: Sizes) -> Iterator[Finding]:
    """From the command to the first page."""
    seconds = served.seconds_to_login
    yield Finding("from `spendsense serve` to the first `/login`", f"{seconds:.1f} s", "5 s", seconds <= START_SECONDS)


def queue(served: Served, sizes: Sizes) -> Iterator[Finding]:
    """The desk's pages and the routes that its script asks."""
    client = served.person("operator-0")
    last = max(0, sizes.waiting - 50)
    found = client.get("/desk/queue").json()
    if found["total"] < sizes.waiting:
        raise SystemExit(f"{found['total']} wait instead of {sizes.waiting}")
    item = found["queue"][0]["recommendation_id"]
    for path, seconds in {
        "/desk": PAGE_SECONDS,
        "/desk/queue": JSON_SECONDS,
        f"/desk/queue?offset={last}": JSON_SECONDS,
        "/desk/changes?since=0": JSON_SECONDS,
        f"/desk/item/{item}": JSON_SECONDS,
        "/desk/wordings": PAGE_SECONDS,
        "/desk/overview": OVERVIEW_SECONDS,
    }.items():
        spent = [_timed(lambda: client.get(path).require(200)) for _ in range(PAGES)]  # noqa: B023 - called at once
        shown = f"GET {path.replace(item, '{id}')}, {sizes.waiting:,} waiting"
        yield _within(shown, spent, seconds)


def feed(served: Served, sizes: Sizes) -> Iterator[Finding]:
    """The feed at a steady rate, half of the requests with the ETag that the app has: an open loop, so that a slow
    answer counts for all that should have been asked meanwhile."""
    names = [f"customer-{number:05}" for number in range(sizes.customers)]
    first = served.program("feed:read")
    tags = {}
    for name in names:
        answer = first.get(f"/v1/customers/{name}/feed")
        tags[name] = answer.headers["etag"]
        if len(answer.json()["items"]) != RELEASES:
            raise SystemExit(f"{name} has {len(answer.json()['items'])} texts in the feed instead of {RELEASES}")
    clients = [Client(served.port, **first.headers) for _ in range(min(32, sizes.rate))]
    number = sizes.rate * sizes.seconds
    begin = time.perf_counter() + 0.2
    spent: dict[int, list[float]] = {200: [], 304: []}

    def keep_asking(own: int) -> None:
        drawn = random.Random(own)  # noqa: S311 - which customer
        for turn in range(own, number, len(clients)):
            name, due = drawn.choice(names), begin + turn / sizes.rate
            time.sleep(max(0.0, due - time.perf_counter()))
            known = {"if_none_match": tags[name]} if drawn.random() < 0.5 else {}
            answer = clients[own].get(f"/v1/customers/{name}/feed", **known)
            elapsed = time.perf_counter() - due
            spent[answer.require(304 if known else 200).status].append(elapsed)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(keep_asking, range(len(clients))))
    for status, seconds in spent.items():
        what = f"feed, {status}, {sizes.rate} requests/s for {sizes.seconds} s"
        high = _quantile(seconds, 0.99)
        figures = f"median {_ms(statistics.median(seconds))}, p99 {_ms(high)}, slowest {_ms(max(seconds))}"
        yield Finding(what, figures, f"p99 {_ms(FEED_SECONDS)}", high <= FEED_SECONDS)


def changes(served: Served, sizes: Sizes) -> Iterator[Finding]:
    """How long until a decision is in what a second operator's page asks for."""
    deciding, watching = served.person("operator-0"), served.person("operator-1")
    items = _to_decide(served, min(20, sizes.decisions), skip=sizes.decisions)
    seen: dict[str, float] = {}
    made: dict[str, float] = {}
    over = threading.Event()

    def watch() -> None:
        seq = watching.get("/desk/queue?limit=1").json()["seq"]
        while len(seen) < len(items) and not over.is_set():
            found = watching.get(f"/desk/changes?since={seq}").json()
            seq = found["seq"]
            for one in found["changes"]:
                seen.setdefault(one["recommendation_id"], time.perf_counter())
            time.sleep(POLL)

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.5)
    drawn = random.Random(1)  # noqa: S311 - when
    for name, content_hash in items:
        made[name] = time.perf_counter()
        asked = {"action": "approve", "recommendation_id": name, "content_hash": content_hash}
        (result,) = deciding.post("/desk/decide", [asked]).json()["results"]
        if not result["ok"]:
            raise SystemExit(f"not decided: {result}")
        time.sleep(drawn.uniform(0.1, 0.9))
    time.sleep(2 * POLL)
    over.set()
    thread.join()
    waits = [seen[name] - at for name, at in made.items()]
    yield _within(f"a decision on the page of a second operator, polled every {POLL} s", waits, SEEN_SECONDS)


def decisions(served: Served, sizes: Sizes) -> Iterator[Finding]:
    """Operators at once on the same items in the same order; each item has one winner, and the record says who."""
    items = _to_decide(served, sizes.decisions)
    people = {name: served.person(name) for name in _operators(sizes)}
    told: dict[str, list[tuple[str, str]]] = {}
    spent: list[float] = []
    line = threading.Barrier(len(people))

    def decide_all(name: str) -> None:
        mine = told[name] = []
        line.wait()
        for recommendation_id, content_hash in items:
            asked = {"action": "approve", "recommendation_id": recommendation_id, "content_hash": content_hash}
            begun = time.perf_counter()
            (result,) = people[name].post("/desk/decide", [asked]).json()["results"]
            spent.append(time.perf_counter() - begun)
            mine.append((recommendation_id, "won" if result["ok"] else result["refused"]))

    elapsed = _timed(lambda: _all_at_once(decide_all, list(people)))
    with reading(served.engine) as session:
        asked = select(Decision.recommendation_id, Decision.operator_id)
        recorded = Counter(tuple(row) for row in session.execute(asked))
    won = Counter((item, name) for name, results in told.items() for item, became in results if became == "won")
    names = {item for item, _ in items}
    on_record = Counter({pair: number for pair, number in recorded.items() if pair[0] in names})
    outcomes = Counter(became for results in told.values() for _, became in results)
    one_each = Counter(item for item, _ in on_record.elements()) == Counter(names)
    what = f"{len(people)} operators on the same {len(items):,} items"
    figures = (
        f"{outcomes['won']:,} won, {outcomes['already_decided']:,} refused as decided, "
        f"{on_record.total():,} on record; "
        f"{elapsed:.1f} s, {len(spent) / elapsed:,.0f} requests/s, median {_ms(statistics.median(spent))}"
    )
    yield Finding(what, figures, "one winner each", one_each and won == on_record)


def drafts(served: Served, _sizes: Sizes) -> Iterator[Finding]:
    """Drafts for one customer of the demo, by its owner's machine."""
    client = Client(served.port)
    found = client.get("/users/?limit=100").json()
    agreed = [one["user_id"] for one in found["users"] if one["user_type"] == "customer" and one["consent_status"]]
    client.post(f"/recommendations/generate/{agreed[0]}?force_regenerate=true").require(200, 201)
    spent = [
        _timed(lambda: client.post(f"/recommendations/generate/{name}?force_regenerate=true").require(200, 201))  # noqa: B023
        for name in agreed[:PAGES]
    ]
    yield _within("POST /recommendations/generate/{id}", spent, DRAFT_SECONDS)


def events(served: Served, sizes: Sizes) -> Iterator[Finding]:
    """A day's events of many apps, some of them twice, in any order."""
    with reading(served.engine) as session:
        releases = sorted(session.scalars(select(Release.release_id)))
        before = session.scalar(select(func.count()).select_from(FeedbackEvent))
    began = _now() - DAY
    drawn = random.Random(7)  # noqa: S311 - an order
    repeated = round(sizes.events * REPEATED)
    numbers = [*range(sizes.events), *(drawn.randrange(sizes.events) for _ in range(repeated))]
    drawn.shuffle(numbers)
    batches = [numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)]
    token = served.program("events:write").headers
    counted: Counter[str] = Counter()
    lock = threading.Lock()

    def send(own: int) -> None:
        client = Client(served.port, **token)
        for batch in batches[own :: sizes.clients]:
            sent = [_event(number, releases, began, sizes.events) for number in batch]
            done = client.post("/v1/events", {"events": sent}).json()
            with lock:
                counted.update(accepted=done["accepted"], duplicate=done["duplicate"], refused=len(done["refused"]))

    elapsed = _timed(lambda: _all_at_once(send, list(range(sizes.clients))))
    with reading(served.engine) as session:
        stored = select(FeedbackEvent.kind, func.count()).where(FeedbackEvent.source == "/v1 (token)")
        kinds = Counter(dict(session.execute(stored.group_by(FeedbackEvent.kind)).all()))
    expected = Counter(_kind(number) for number in range(sizes.events))
    exact = kinds == expected and dict(counted) == {"accepted": sizes.events, "duplicate": repeated, "refused": 0}
    what = f"{sizes.events:,} events and {repeated:,} repeats from {sizes.clients} clients"
    figures = (
        f"{kinds.total() - before:,} stored, {counted['duplicate']:,} counted as repeats, "
        f"{counted['refused']} refused; "
        f"{elapsed:.0f} s, {len(numbers) / elapsed:,.0f} events/s"
    )
    yield Finding(what, figures, "none lost, none twice", exact)


def _event(number: int, releases: Sequence[str], began: dt.datetime, of: int) -> dict[str, Any]:
    return {
        "event_id": f"event-{number}",
        "release_id": releases[number % len(releases)],
        "kind": _kind(number),
        "occurred_at": (began + DAY * (number / of)).isoformat(),
    }


def _kind(number: int) -> str:
    return "complaint" if number % COMPLAINTS_EVERY == 0 else KINDS[number % len(KINDS)]


MEASURED: dict[str, Callable[[Served, Sizes], Iterator[Finding]]] = {
    "start": start,
    "queue": queue,
    "feed": feed,
    "changes": changes,
    "decisions": decisions,
    "drafts": drafts,
    "events": events,
}


def _to_decide(served: Served, number: int, skip: int = 0) -> list[tuple[str, str]]:
    """So many waiting items that may be approved, as (id, hash), behind the first ``skip``."""
    with reading(served.engine) as session:
        rows = session.execute(
            select(Recommendation.recommendation_id, Recommendation.content_hash)
            .where(Recommendation.status == "pending_approval", Recommendation.user_id.like("waiting-%"))
            .order_by(Recommendation.recommendation_id)
        ).all()
        grave = {row["recommendation_id"] for row in _critical(session)}
    free = [(name, content_hash) for name, content_hash in rows if name not in grave]
    return free[skip : skip + number]


def _critical(session: Any) -> list[Any]:
    query = "SELECT recommendation_id FROM recommendation_texts WHERE severity = 2"
    return list(session.execute(text(query)).mappings())


def _all_at_once(work: Callable[[Any], None], each: Sequence[Any]) -> None:
    """Run ``work`` on each in a thread of its own; the first failure is raised."""
    with ThreadPoolExecutor(len(each)) as pool:
        list(pool.map(work, each))


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _within(what: str, spent: Sequence[float], limit: float) -> Finding:
    figures = f"median {_ms(statistics.median(spent))}, slowest of {len(spent)} {_ms(max(spent))}"
    return Finding(what, figures, _ms(limit), max(spent) <= limit)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:,.1f} ms"


def rows_of(kind: str, sizes: Sizes, parts: Sequence[str]) -> Iterator[dict[str, str]]:
    """The findings of a database as rows of the table."""
    for found in findings(kind, sizes, parts):
        yield {
            "database": kind.partition(":")[0],
            "what": found.what,
            "measured": found.measured,
            "aim": found.aim,
            "met": {True: "yes", False: "**no**", None: ""}[found.met],
        }

"""Failed runs and checks reach people: by log, by a mail server and by a receiver of webhooks, which are real here."""

import base64
import datetime as dt
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import dagster as dg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from dagster._core.test_utils import create_run_for_test
from standardwebhooks import Webhook

from spendsense_pipeline import signed_post
from spendsense_pipeline.defs import alerts, failures, sensors
from spendsense_pipeline.defs.alerts import Alerts
from spendsense_pipeline.defs.resources import Clock
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import InvalidSettings, Settings

PASSWORD = "p:a@s s%/#'\""
SECRET = f"whsec_{base64.b64encode(b'x' * 32).decode()}"
JOBS = {"ingest_batch", "daily_refresh"}


@contextmanager
def mail_server() -> Iterator[tuple[str, list[Any]]]:
    """An SMTP server that asks for the password; its address and the mails that it took."""
    taken: list[Any] = []

    class Keeps:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            taken.append(message_from_bytes(envelope.content, policy=default))
            return "250 OK"

    def authenticated(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (b"pager", PASSWORD.encode()))

    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    controller = Controller(
        Keeps(),
        hostname="127.0.0.1",
        port=port,
        authenticator=authenticated,
        auth_required=True,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", taken
    finally:
        controller.stop()


@contextmanager
def receiver(statuses: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An HTTP server that answers with these statuses, then with 204; its address and what it was sent, verified."""
    taken: list[dict[str, Any]] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = statuses.pop(0) if statuses else 204
            if status == 204:
                taken.append(Webhook(SECRET).verify(body, dict(self.headers)) | {"id": self.headers["webhook-id"]})
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", taken
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


class Told:
    """The sensor from tick to tick, with the cursor that Dagster would keep."""

    def __init__(self, instance: dg.DagsterInstance, resource: Alerts) -> None:
        self.instance, self.alerts, self.cursor = instance, resource, None

    def tick(self) -> str:
        given = {"alerts": self.alerts, "clock": Clock()}
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=given)
        answer = sensors.failure_alerts(JOBS)(context)
        assert isinstance(answer, dg.SkipReason)
        self.cursor = context.cursor
        return answer.skip_message or ""


def fails(instance: dg.DagsterInstance, number: int, job: str = "ingest_batch") -> str:
    run = create_run_for_test(
        instance, job_name=job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": f"b{number}"}
    )
    instance.report_run_failed(run, f"no. {number}: its process is gone")
    return run.run_id


def executed(instance: dg.DagsterInstance, does: Any, name: str = "daily_refresh") -> str:
    job = dg.GraphDefinition(name=name, node_defs=[dg.op(name="does")(does)]).to_job()
    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def test_a_failure_reaches_every_channel_once_with_its_reason_and_a_link_to_its_run(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server() as (smtp, mails), receiver([]) as (hook, posts):
        settings = Settings(
            alert_smtp=smtp,
            alert_to="oncall@example.org, lead@example.org",
            alert_user="pager",
            alert_password=PASSWORD,
            alert_webhook_urls=hook,
            webhook_secret=SECRET,
            dagster_url="https://dagster.example.org/",
        )
        told = Told(instance, Alerts.of(settings))
        run_id = fails(instance, 1)
        told.tick()
        told.tick()
    (mail,), (post,) = mails, posts
    link = f"https://dagster.example.org/runs/{run_id}"
    assert mail["Subject"] == "SpendSense: ingest_batch of b1 failed"
    assert (mail["From"], mail["To"]) == ("oncall@example.org", "oncall@example.org, lead@example.org")
    assert mail["Message-ID"] == f"<{run_id}@spendsense>"
    assert mail.get_content().split() == ["no.", "1:", "its", "process", "is", "gone", link]
    assert (post["id"], post["type"]) == (run_id, "run.failed")
    assert post["data"] == {"subject": "ingest_batch of b1 failed", "text": "no. 1: its process is gone", "link": link}
    assert [record.getMessage() for record in caplog.records if record.name == "spendsense.alerts"] == [
        f"ingest_batch of b1 failed: no. 1: its process is gone {link}"
    ]
    assert PASSWORD not in caplog.text + repr(settings) + str(told.cursor)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [one.getMessage() for one in caplog.records if one.name == "spendsense.alerts" and one.levelno > 30]
    caplog.clear()
    return found


def test_a_backlog_comes_in_order_ten_at_a_time_and_the_rest_summed_up(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(instance, Alerts())
    for number in range(alerts.AT_MOST + 3):
        fails(instance, number, "ingest_batch" if number % 2 else "daily_refresh")
    told.tick()
    *each, rest = lines(caplog)
    assert [line.split(" ")[2] for line in each] == [f"b{number}" for number in range(alerts.AT_MOST)]
    assert rest.startswith("3 more failures: 2 of daily_refresh, 1 of ingest_batch; the newest: daily_refresh of b12")
    fails(instance, 99)
    told.tick()
    assert [line.split(" ")[2] for line in lines(caplog)] == ["b99"]


def test_a_channel_that_is_down_gets_what_it_missed_in_order_and_no_other_hears_twice(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    with receiver([204, 500, 503]) as (hook, posts):
        told = Told(instance, Alerts(webhooks=[hook], secret=SECRET))
        runs = [fails(instance, number) for number in range(4)]
        assert "waits for 3" in told.tick()
        assert "waits for 3" in told.tick()
        told.tick()
    assert [post["id"] for post in posts] == runs
    assert len([line for line in lines(caplog) if line.startswith("ingest_batch of")]) == 4


def test_a_receiver_that_is_not_there_stops_no_tick(instance: dg.DagsterInstance) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    told = Told(
        instance,
        Alerts(
            smtp=f"smtp://127.0.0.1:{port}", recipients=["a@b"], sender="a@b", webhooks=[f"http://127.0.0.1:{port}"]
        ),
    )
    fails(instance, 1)
    assert told.tick().count("waits for 1") == 2


@contextmanager
def trickling() -> Iterator[int]:
    """The port of a server that answers everybody with a byte now and then, which no time limit of a socket ends."""
    over = threading.Event()

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            while not over.wait(0.02):
                client.sendall(b"2")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()


@pytest.mark.parametrize("scheme", ["smtp", "smtps", "http"])
def test_a_receiver_that_trickles_an_answer_stops_no_tick(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(alerts, "PATIENCE", 0.1)
    monkeypatch.setattr(signed_post, "LONGEST", 0.4)
    with trickling() as port:
        address = f"{scheme}://127.0.0.1:{port}"
        mail = {"smtp": address, "recipients": ["a@b"], "sender": "a@b"}
        told = Told(instance, Alerts(webhooks=[address]) if scheme == "http" else Alerts(**mail))
        fails(instance, 1)
        begun = time.monotonic()
        assert "waits for 1" in told.tick()
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("quoted", ["\udcff.csv", "a\r\nBcc: else@example.org", "a\0b", "a\u2028b\x85c"], ids=ascii)
def test_whatever_a_failure_quotes_is_told_and_holds_up_none_behind_it(
    instance: dg.DagsterInstance, quoted: str
) -> None:
    storable = "b1" if "\udcff" in quoted else quoted
    run = create_run_for_test(
        instance,
        job_name="ingest_batch",
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": storable},
    )
    instance.report_run_failed(run, f"{quoted}: cannot be read")
    fails(instance, 2)
    with mail_server() as (server, mails), receiver([]) as (address, posts):
        Told(
            instance,
            Alerts(
                recipients=["oncall@example.org"],
                sender="oncall@example.org",
                smtp=server,
                user="pager",
                password=PASSWORD,
                webhooks=[address],
                secret=SECRET,
            ),
        ).tick()
    assert (len(mails), len(posts)) == (2, 2)
    assert "Bcc" not in mails[0]
    assert "cannot be read" in posts[0]["data"]["text"]


def test_no_mail_leaves_this_machine_without_tls(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "THIS_MACHINE", ())
    with mail_server() as (smtp, mails):
        fails(instance, 1)
        resource = Alerts(smtp=smtp, recipients=["a@b"], sender="a@b", user="pager", password=PASSWORD)
        assert "mail waits for 1" in Told(instance, resource).tick()
    assert mails == []
    assert "SMTPNotSupportedError" in caplog.text


def test_what_time_does_not_allow_waits(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "EVALUATION", -1.0)
    told = Told(instance, Alerts())
    fails(instance, 1)
    assert told.tick() == "log waits for 1"


def test_what_is_told_is_our_reason_and_of_other_errors_the_kind_alone(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses() -> None:
        try:
            raise SpendSenseError("users.json: row 3 is none")
        except SpendSenseError as error:
            raise dg.Failure("users.json: row 3 is none", allow_retries=False) from error

    def breaks() -> None:
        raise ValueError("Ada Example owes 5")

    told = Told(instance, Alerts())
    executed(instance, refuses)
    executed(instance, breaks)
    told.tick()
    first, second = lines(caplog)
    assert "daily_refresh failed: users.json: row 3 is none http" in first
    assert "daily_refresh failed: ValueError; what it says is on the run's page" in second


@pytest.mark.parametrize("severity", [dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN])
def test_a_check_that_found_an_error_is_told_though_the_run_succeeded_and_a_warning_is_not(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture, severity: dg.AssetCheckSeverity
) -> None:
    @dg.asset
    def table() -> None:
        """Stored."""

    @dg.asset_check(asset=table)
    def proven() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, severity=severity, description="1 of 3 without")

    assert dg.materialize([table, proven], instance=instance, tags={sensors.HOST: "here"}).success
    Told(instance, Alerts()).tick()
    found = [line for line in lines(caplog) if "table: proven did not pass (1 of 3 without)" in line]
    assert len(found) == (severity == dg.AssetCheckSeverity.ERROR)


def test_runs_of_somebody_elses_jobs_are_theirs(instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture) -> None:
    fails(instance, 1, job="theirs")
    Told(instance, Alerts()).tick()
    assert lines(caplog) == []


def test_more_ended_runs_than_one_look_holds_lose_no_failure_between_them(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that is full of one kind of end must not pass over those of the other kind that came between."""
    monkeypatch.setattr(failures, "LOOKED_AT", 2)
    told = Told(instance, Alerts())
    for number in range(4):
        executed(instance, lambda: None)
        fails(instance, number)
    for _ in range(6):
        told.tick()
    assert [line.split(" ")[2] for line in lines(caplog)] == ["b0", "b1", "b2", "b3"]


def test_what_a_new_channel_hears_first_is_of_the_last_day(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(instance, 1)
    monkeypatch.setattr(failures, "FIRST_LOOK", dt.timedelta(seconds=-60))
    told = Told(instance, Alerts())
    told.tick()
    assert lines(caplog) == []


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ({"alert_smtp": "smtp://mail.example.org"}, "needs SPENDSENSE_ALERT_TO"),
        ({"alert_to": "a@b", "alert_smtp": "smtp://u:geheim@mail.example.org"}, "settings of their own"),
        ({"alert_to": "a@b", "alert_smtp": "mail.example.org:25"}, "should be smtp://HOST:PORT"),
        ({"alert_to": "nobody"}, "e-mail addresses"),
        ({"alert_password": "geheim\u00e4"}, "ASCII"),
        ({"alert_webhook_urls": "ftp://geheim"}, "addresses with commas"),
        ({"dagster_url": "dagster"}, "should begin with https://"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_without_its_secret(said: dict[str, str], right: str) -> None:
    with pytest.raises(InvalidSettings, match=right) as refused:
        Settings(**said)
    assert "geheim" not in str(refused.value)

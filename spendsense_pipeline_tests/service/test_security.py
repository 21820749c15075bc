"""Sessions, CSRF, origins, limits, logs: what keeps others out, and personal data where it belongs."""

import datetime as dt
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from starlette.testclient import TestClient

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.governance import credentials, operators
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.service import guard
from spendsense_pipeline.service.app import create_app
from spendsense_pipeline.service.login import login_link
from spendsense_pipeline.service.state import Service, kept_secret
from spendsense_pipeline_tests.governance.town import NOW
from spendsense_pipeline_tests.service.conftest import ADDRESS, PASSWORD, Town, form_of

CHANGE = ("/admin/people", {"operator_id": "new", "role": "viewer"})


def with_password(place: Town, name: str = "ada") -> None:
    with writing(place.engine) as session:
        standing = operators.Standing(password_hash=credentials.password_hash(PASSWORD))
        operators.add(session, name, place.now, standing=standing)
    place.now += dt.timedelta(seconds=1)


def log_in(client: TestClient, name: str = "ada", password: str = PASSWORD, form: str | None = None) -> Any:
    form = form_of(client) if form is None else form
    return client.post("/login", data={"operator_id": name, "password": password, "form": form})


def test_a_password_begins_a_session_in_a_cookie_that_scripts_and_other_sites_do_not_see(place: Town) -> None:
    with_password(place)
    client = place.client()
    answer = log_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "ada" not in cookie.partition("=")[2].partition(";")[0]
    assert client.get("/holds").status_code == 200


def test_the_same_words_for_a_wrong_name_and_a_wrong_password(place: Town) -> None:
    with_password(place)
    client = place.client()
    wrong, nobody = log_in(client, password="wrong"), log_in(client, "nobody")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.text.replace(form_of(client), "") != ""
    for text in (wrong.text, nobody.text):
        assert "the name or the password is wrong" in text


def test_a_login_form_of_another_site_does_not_log_anybody_in(place: Town) -> None:
    with_password(place)
    assert log_in(place.client(), form="forged").status_code == 400
    place_form = form_of(place.client())
    assert place.service.signed("session", place_form, dt.timedelta(hours=1)) is None


@pytest.mark.parametrize("goes_to", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_after_the_login_nobody_is_sent_elsewhere(place: Town, goes_to: str) -> None:
    with_password(place)
    client = place.client()
    data = {"operator_id": "ada", "password": PASSWORD, "form": form_of(client), "next": goes_to}
    assert client.post("/login", data=data).headers["location"] == "/desk"


def test_a_change_needs_the_token_of_the_page_and_an_origin_of_ours(place: Town) -> None:
    client = place.person("root")
    path, body = CHANGE
    assert client.post(path, json=body).status_code == 200
    assert client.post(path, json=body, headers={"origin": "https://evil.example"}).status_code == 403
    assert client.post(path, json=body, headers={"origin": ADDRESS}).status_code == 200
    assert client.post(path, json=body, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    client.headers["x-csrf-token"] = "0" * 40
    assert client.post(path, json=body).status_code == 403
    del client.headers["x-csrf-token"]
    assert client.post(path, json=body).status_code == 403


def test_a_session_ends_with_its_time_the_logout_and_its_person(place: Town) -> None:
    client = place.person("ada")
    assert client.get("/holds").status_code == 200
    other = place.person("ada")
    place.now += dt.timedelta(seconds=1)
    assert client.post("/logout").status_code == 204
    assert other.get("/holds").status_code == 401
    again = place.person("ben")
    with writing(place.engine) as session:
        operators.deactivate(session, "ben", place.now)
    assert again.get("/holds").status_code == 401


def test_a_session_of_another_secret_is_none(place: Town) -> None:
    client = place.person("ada")
    place.app.state.service.secret = "another"
    assert client.get("/holds").status_code == 401


def test_a_login_link_opens_once_and_not_for_long(place: Town) -> None:
    link = login_link(place.service, "ada", ADDRESS)
    assert place.client().get(link).status_code == 303
    assert place.client().get(link).status_code == 403
    assert place.client().get(f"{ADDRESS}/login/link?token=forged").status_code == 403
    with reading(place.engine) as session:
        assert [row["means"] for row in credentials.logins(session)] == ["link"]


class TestTrustedMachine:
    """The owner of the machine types a name; nobody else does, and no web page of somebody else."""

    def test_a_direct_request_from_the_machine_counts_as_its_owner(self, trusting: Town) -> None:
        assert trusting.client().get("/holds").status_code == 200
        assert trusting.client(origin="http://localhost:5173").get("/holds").status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example"},
            {"host": "evil.example:8000"},
            {"x-forwarded-for": "203.0.113.9"},
            {"forwarded": "for=203.0.113.9"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"authorization": "Bearer sps_wrong"},
            {"authorization": "Basic YWRhOmFkYQ=="},
        ],
    )
    def test_what_comes_through_a_page_or_a_proxy_does_not(self, trusting: Town, headers: dict[str, str]) -> None:
        assert trusting.client(**headers).get("/holds").status_code in (401, 403)

    def test_another_machine_does_not(self, trusting: Town) -> None:
        away = TestClient(trusting.app, base_url=ADDRESS, client=("192.0.2.7", 50_000))
        assert away.get("/holds").status_code == 401

    def test_behind_a_proxy_nobody_does(self, trusting: Town) -> None:
        trusting.service.local = False
        assert trusting.client().get("/holds").status_code == 401

    def test_pages_want_a_person_all_the_same(self, trusting: Town) -> None:
        answer = trusting.client(accept="text/html").get("/desk/admin")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fdesk%2Fadmin")


def test_only_the_apps_that_are_named_may_call_from_a_browser(trusting: Town) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    ours = trusting.client(origin="http://localhost:3000", **asked).options("/holds/clear")
    assert ours.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert trusting.client(origin="https://evil.example", **asked).options("/holds/clear").status_code == 400


def test_bodies_and_rates_have_limits(place: Town, caplog: pytest.LogCaptureFixture) -> None:
    client = place.token()
    large = client.post("/v1/events", content=b"x" * (guard.LARGEST_BODY + 1))
    assert (large.status_code, large.json()["code"]) == (413, "too_large")
    in_pieces = client.post("/v1/events", content=(b"x" * 2**16 for _ in range(33)))
    assert (in_pieces.status_code, in_pieces.json()) == (413, large.json())
    for one in (large, in_pieces):
        assert one.headers["content-type"] == "application/json"
        assert one.headers["x-content-type-options"] == "nosniff"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    place.settings.rate_limit = 2
    slow = TestClient(create_app(Service(place.settings, place.engine, now=lambda: NOW)), base_url=ADDRESS)
    codes = [slow.get("/healthz").status_code for _ in range(12)]
    assert codes[:4] == [200] * 4
    assert 429 in codes


def test_a_caller_has_a_rate_and_others_do_not_use_it_up() -> None:
    rates = guard.Rates(rate=0.5, burst=2)
    assert [rates.allows("a", 0.0) for _ in range(3)] == [True, True, False]
    assert rates.allows("b", 0.0)
    assert [rates.allows("a", 1.9), rates.allows("a", 2.0), rates.allows("a", 2.0)] == [False, True, False]
    for n in range(guard.CALLERS_REMEMBERED + 1):
        rates.allows(f"caller_{n}", 3.0)
    assert len(rates._buckets) == guard.CALLERS_REMEMBERED


def test_logins_have_a_rate_of_their_own(place: Town) -> None:
    client = place.client()
    codes = [client.post("/login", data={"operator_id": "x"}).status_code for _ in range(guard.LOGINS_A_MINUTE + 3)]
    assert codes == [422] * guard.LOGINS_A_MINUTE + [429] * 3


def test_every_answer_carries_the_headers_that_browsers_go_by(place: Town) -> None:
    for path in ("/login", "/healthz", "/nowhere", "/me", "/static/style.css"):
        headers = place.client().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert ("frame-ancestors 'none'" in policy) is (path != "/me")
        assert ("cache-control" in headers) is not path.startswith("/static")


def test_no_answer_about_a_customer_is_kept_by_a_browser_or_a_proxy(place: Town) -> None:
    place.released("mia")
    program, person = place.token(), place.person("ada")
    for path in ("/v1/customers/mia/consent", "/desk/queue", "/desk/changes?since=0", "/holds"):
        answer = (program if path.startswith("/v1") else person).get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store"), path
    assert program.get("/v1/customers/mia/feed").headers["cache-control"] == "private, no-cache"


def test_log_lines_hold_no_customer_no_token_and_no_address(place: Town, caplog: pytest.LogCaptureFixture) -> None:
    row = place.released("mia_the_customer")
    client = place.token()
    secret = str(client.headers["authorization"]).partition(" ")[2]
    with caplog.at_level(logging.INFO):
        client.get(f"/v1/customers/{row['user_id']}/feed?note=private")
        place.client().get("/login/link?token=secret-token")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("spendsense")]
    assert any("/v1/customers/{user_id}/feed 200" in line for line in lines)
    for line in lines:
        for word in ("mia_the_customer", secret, "secret-token", "private"):
            assert word not in line


@pytest.mark.parametrize("kept", ["", "\n", "cut off"])
def test_a_secret_that_was_cut_off_signs_nothing(tmp_path: Any, kept: str) -> None:
    (tmp_path / "service.secret").write_text(kept)
    with pytest.raises(SpendSenseError, match=r"service\.secret"):
        kept_secret(tmp_path)


def test_of_many_first_starts_at_once_all_have_the_same_secret_and_leave_nothing_else(tmp_path: Any) -> None:
    with ThreadPoolExecutor(16) as starts:
        found = set(starts.map(lambda _: kept_secret(tmp_path), range(64)))
    assert len(found) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["service.secret"]


def test_a_login_form_counts_only_in_the_browser_that_it_was_shown_to(place: Town) -> None:
    with_password(place)
    fetched_by_another_site = form_of(place.client())
    victim = place.client()
    assert log_in(victim, form=fetched_by_another_site).status_code == 400
    form_of(victim)  # who has a form open, too
    assert log_in(victim, form=fetched_by_another_site).status_code == 400
    first, _second = form_of(victim), form_of(victim)
    assert log_in(victim, form=first).status_code == 303


def test_the_way_back_from_the_login_is_the_whole_path(place: Town) -> None:
    with_password(place)
    client = place.client(accept="text/html")
    wanted = client.get("/desk/customers/a%26next=b%23c")
    (goes_to,) = parse_qs(urlsplit(wanted.headers["location"]).query)["next"]
    data = {"operator_id": "ada", "password": PASSWORD, "form": form_of(client), "next": goes_to}
    path = urlsplit(client.post("/login", data=data).headers["location"]).path
    assert unquote(path) == "/desk/customers/a&next=b#c"


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Any) -> None:
    made = kept_secret(tmp_path)
    assert kept_secret(tmp_path) == made
    assert len(made) == 64
    assert (tmp_path / "service.secret").stat().st_mode & 0o077 == 0


def test_an_error_has_a_string_and_a_code(place: Town) -> None:
    client = place.person("root")
    answer = client.post("/admin/recalls", json={"target": "recommendation", "subject": "rec_x", "reason": "r"})
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_recall")
    assert isinstance(answer.json()["detail"], str)
    invalid = client.post(
        "/admin/recalls", content=b'{"target": Infinity}', headers={"content-type": "application/json"}
    )
    assert invalid.status_code == 422
    assert {"type", "loc", "msg"} <= set(invalid.json()["detail"][0])
    assert client.get("/nowhere").json() == {"detail": "Not Found"}

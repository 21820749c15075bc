"""Logging in through an identity provider: a real little one on this machine, honest and not."""

import base64
import datetime as dt
import functools
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pydantic import SecretStr
from starlette.testclient import TestClient

from spendsense_pipeline.governance import credentials, operators
from spendsense_pipeline.governance.database import reading, writing
from spendsense_pipeline.settings import InvalidSettings, Settings
from spendsense_pipeline_tests.service.conftest import ADDRESS, Town

CLIENT, SECRET = "spendsense", "a secret of the two"


def _base64(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@functools.cache
def _key() -> RSAKey:
    """The issuer's first key, made once: that takes a moment."""
    return RSAKey.generate_key(2048, {"kid": "first"})


class Issuer:
    """Discovery, keys, authorisation and tokens by OpenID Connect. ``lie`` changes what it says."""

    def __init__(self) -> None:
        self.key = _key()
        self.about: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.signs_with: Any = self.key
        self.algorithm = "RS256"
        self.without_token = False
        self.codes: dict[str, dict[str, str]] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                if parts.path == "/.well-known/openid-configuration":
                    self.answer(issuer.discovery())
                elif parts.path == "/keys":
                    self.answer({"keys": [issuer.key.as_dict(private=False)]})
                elif parts.path == "/authorize":
                    code = f"code_{len(issuer.codes)}"
                    issuer.codes[code] = asked
                    self.send_response(302)
                    back = urlencode({"code": code, "state": asked["state"]})
                    self.send_header("location", f"{asked['redirect_uri']}?{back}")
                    self.end_headers()
                else:
                    self.send_error(404)

            def do_POST(self) -> None:
                sent = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                asked = issuer.codes.pop(sent["code"][0])
                verifier = hashlib.sha256(sent["code_verifier"][0].encode()).digest()
                assert _base64(verifier) == asked["code_challenge"]
                assert base64.b64decode(self.headers["authorization"].split()[1]).decode() == f"{CLIENT}:{SECRET}"
                self.answer(issuer.tokens(asked["nonce"]))

            def answer(self, payload: Any) -> None:
                body = json.dumps(payload).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/keys",
        } | self.about

    def tokens(self, nonce: str) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.address, "sub": "ada-at-work", "aud": CLIENT, "nonce": nonce, "iat": now, "exp": now + 60}
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        header = {"alg": self.algorithm, "kid": "first"}
        if self.algorithm == "RS256":
            signed = jwt.encode(header, claims, self.signs_with)
        else:
            signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
            mark = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            signed += f".{_base64(mark) if self.algorithm == 'HS256' else ''}"
        return {"access_token": "a", "token_type": "Bearer"} | ({} if self.without_token else {"id_token": signed})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def place(tmp_path: Path, issuer: Issuer) -> Town:
    """A service that knows the issuer, and ada's account there."""
    made = Town(tmp_path, oidc_issuer=issuer.address, oidc_client_id=CLIENT, oidc_client_secret=SecretStr(SECRET))
    with writing(made.engine) as session:
        standing = operators.Standing(subject=f"{issuer.address}|ada-at-work")
        operators.add(session, "ada", made.now - dt.timedelta(days=1), standing=standing)
    return made


def there(client: TestClient) -> str:
    """Go to the issuer as a browser does, and give the address that it sends the browser back to."""
    away = client.get("/login/issuer")
    assert away.status_code == 302, away.text
    back: str = httpx2.get(away.headers["location"]).headers["location"]
    return back


def log_in(place: Town) -> Any:
    client = place.client()
    return client.get(there(client))


def test_whoever_is_registered_comes_in_and_the_record_says_how(place: Town) -> None:
    client = place.client()
    back = there(client)
    assert back.startswith(f"{ADDRESS}/login/callback?")
    answer = client.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    assert client.get("/holds").status_code == 200
    with reading(place.engine) as session:
        (row,) = credentials.logins(session)
    assert (row["operator_id"], row["means"], row["outcome"]) == ("ada", "issuer", "ok")


def test_what_the_answer_must_match_is_kept_where_neither_scripts_nor_other_sites_reach(place: Town) -> None:
    cookie = place.client().get("/login/issuer").headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=lax", "Path=/login", "Max-Age=600"):
        assert word in cookie


def test_somebody_else_of_the_same_organisation_does_not(place: Town, issuer: Issuer) -> None:
    issuer.claims = {"sub": "mallory-at-work"}
    assert log_in(place).status_code == 403


def test_nor_does_whoever_was_deactivated(place: Town) -> None:
    with writing(place.engine) as session:
        operators.deactivate(session, "ada", place.now)
    assert log_in(place).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another login"},
        {"nonce": None},
        {"aud": "another-service"},
        {"aud": "another-service", "azp": CLIENT},
        {"aud": None},
        {"iss": "https://login.example.org"},
        {"iss": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"sub": None},
    ],
)
def test_a_word_for_somebody_else_of_another_time_or_by_another_issuer_is_refused(
    place: Town, issuer: Issuer, claims: dict[str, Any]
) -> None:
    issuer.claims = claims
    answer = log_in(place)
    assert answer.status_code == 403, answer.text
    assert "spendsense_session" not in answer.headers.get("set-cookie", "")


def test_a_word_that_another_key_signed_is_refused(place: Town, issuer: Issuer) -> None:
    issuer.signs_with = RSAKey.generate_key(2048, {"kid": "first"})
    assert log_in(place).status_code == 403


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_word_that_anybody_could_have_signed_is_refused_even_where_the_issuer_allows_it(
    place: Town, issuer: Issuer, algorithm: str
) -> None:
    issuer.about = {"id_token_signing_alg_values_supported": ["RS256", "HS256", "none"]}
    issuer.algorithm = algorithm
    assert log_in(place).status_code == 403


def test_an_answer_without_any_word_is_refused(place: Town, issuer: Issuer) -> None:
    issuer.without_token = True
    assert log_in(place).status_code == 403


def test_an_answer_counts_only_in_the_browser_that_asked_and_once(place: Town) -> None:
    client = place.client()
    back = there(client)
    assert place.client().get(back).status_code == 403  # somebody who was given the address
    other = place.client()
    there(other)
    assert other.get(back).status_code == 403  # who has a login of their own under way
    forged = back.replace("state=", "state=x")
    assert client.get(forged).status_code == 403
    assert client.get(back).status_code == 303
    assert client.get(back).status_code == 403


def test_what_the_issuer_says_of_itself_must_be_what_is_set_here(place: Town, issuer: Issuer) -> None:
    for about in (
        {"issuer": "https://login.example.org"},
        {"token_endpoint": "http://192.0.2.1/token"},
        {"jwks_uri": None},
    ):
        issuer.about = about
        answer = place.client().get("/login/issuer")
        assert answer.status_code == 502, about
        assert isinstance(answer.json()["detail"], str)


def test_a_refusal_there_is_a_refusal_here(place: Town) -> None:
    client = place.client()
    state = parse_qs(urlsplit(there(client)).query)["state"][0]
    answer = client.get(f"/login/callback?error=access_denied&state={state}")
    assert answer.status_code == 403
    assert "access_denied" in answer.json()["detail"]


def test_an_issuer_that_cannot_be_reached_is_no_error_of_ours(place: Town, issuer: Issuer) -> None:
    issuer.server.shutdown()
    issuer.server.server_close()
    assert place.client().get("/login/issuer").status_code == 502


def test_an_issuer_is_asked_over_a_connection_that_nobody_listens_in_to() -> None:
    with pytest.raises(InvalidSettings, match="SPENDSENSE_OIDC_ISSUER"):
        Settings(oidc_issuer="http://login.example.org")
    assert Settings(oidc_issuer="https://login.example.org").oidc_issuer

"""A service on a small town of customers: SQLite in a folder, a clock that tests move, clients of every kind."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from spendsense_pipeline.governance import credentials, operators
from spendsense_pipeline.governance.database import writing
from spendsense_pipeline.governance.models import TOKEN_SCOPES
from spendsense_pipeline.service.app import create_app
from spendsense_pipeline.service.state import Service
from spendsense_pipeline.settings import Settings
from spendsense_pipeline_tests.governance import town
from spendsense_pipeline_tests.governance.conftest import database_in

PASSWORD = "correct horse battery"  # a test's own
ADDRESS = "http://127.0.0.1:8000"


def staffed(engine: Engine) -> None:
    """One person of each role, and a second operator."""
    with writing(engine) as session:
        for name, role in {"vera": "viewer", "ada": "operator", "ben": "operator", "otto": "auditor"}.items():
            operators.add(session, name, town.NOW, standing=operators.Standing(role=role))
        operators.add(session, "root", town.NOW, standing=operators.Standing(role="admin"))


class Town:
    """One running service with its database, its clock and its people: one of each role, with a password."""

    def __init__(self, folder: Path, engine: Engine | None = None, **settings: Any) -> None:
        self.now = town.NOW
        self.settings = Settings(data=folder, **({"trust_local": False} | settings))
        if engine is None:
            self.engine = database_in(folder / "spendsense.db", staffed)
        else:
            self.engine = engine
            staffed(engine)
        self.service = Service(self.settings, self.engine, now=lambda: self.now, secret="a test's own")
        self.app = create_app(self.service)

    def client(self, **headers: str) -> TestClient:
        """A client from this machine that sends these headers."""
        return TestClient(
            self.app, base_url=ADDRESS, client=("127.0.0.1", 50_000), headers=headers, follow_redirects=False
        )

    def token(self, *scopes: str, **limits: Any) -> TestClient:
        """A program's client, with a token of these scopes (default: all that need no operator)."""
        wanted = scopes or tuple(scope for scope in TOKEN_SCOPES if scope != "review")
        with writing(self.engine) as session:
            made = credentials.add_token(session, "test", wanted, self.now, created_by="test", **limits)
        return self.client(authorization=f"Bearer {made['token']}")

    def person(self, name: str) -> TestClient:
        """The client of somebody who is logged in, as the page's script calls: with the CSRF header."""
        from spendsense_pipeline.service.login import login_link

        client = self.client()
        link = login_link(self.service, name, ADDRESS)
        assert client.get(link).status_code == 303
        kept = client.cookies["spendsense_session"]
        client.headers["x-csrf-token"] = self.service.mark("csrf", kept)
        return client

    def released(self, user: str = "mia", **changes: Any) -> dict[str, Any]:
        """A text that was drafted, approved and released for a customer; the feed's row."""
        one = town.draft(user, town.grant(self.engine, user, self.now), **changes)
        town.register(self.engine, one, now=self.now)
        (row,) = town.approve(self.engine, one, now=self.now)
        assert row["ok"], row
        town.gate(self.engine, self.now)
        (found,) = (r for r in town.feed(self.engine, self.now) if r["recommendation_id"] == one["recommendation_id"])
        return found


@pytest.fixture
def place(tmp_path: Path) -> Town:
    """A service that trusts nobody without a session or a token."""
    return Town(tmp_path)


@pytest.fixture
def trusting(tmp_path: Path) -> Town:
    """A service on a machine whose owner is trusted: the demo's."""
    return Town(tmp_path, trust_local=True)


def form_of(client: TestClient) -> str:
    """The signed token of a login form."""
    found = re.search(r'name="form" value="([^"]+)"', client.get("/login").text)
    assert found
    return found[1]

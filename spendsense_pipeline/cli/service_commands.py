"""The service and what it needs: serve, tokens, recalls, what came back from customers."""

import datetime as dt
import gc
from collections.abc import Iterable

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import Day, app
from spendsense_pipeline.cli.output import Shown, cell, columns
from spendsense_pipeline.cli.runtime import governance_of
from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.settings import THIS_MACHINE, Settings

TOKEN_SCOPES = ("feed:read", "consent:write", "events:write", "ingest:write", "review")


@app.command(cls=click.Command)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, envvar="PORT")
@click.option("--tls-certificate", type=click.Path(exists=True, dir_okay=False))
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False))
@click.option("--trusted-proxy", help="Address of the proxy that ends TLS and says who asks.")
def serve(host: str, port: int, tls_certificate: str | None, tls_key: str | None, trusted_proxy: str | None) -> None:
    """The service: desk for operators, feed for apps, the customer's page."""
    from spendsense_pipeline.governance import operators, policy
    from spendsense_pipeline.governance.database import reading

    settings = Settings()
    local = host in THIS_MACHINE and trusted_proxy is None
    if bool(tls_certificate) != bool(tls_key):
        raise click.UsageError("TLS needs both --tls-certificate and --tls-key.")
    if not local and not tls_certificate and trusted_proxy is None:
        raise SpendSenseError(
            f"on {host} others can listen in: give --tls-certificate and --tls-key, or name the proxy that ends TLS "
            "with --trusted-proxy",
            code="tls_required",
        )
    engine = governance_of(settings)
    policy.keep(engine, policy.Rules(settings.four_eyes, settings.consent_days), runtime.now())
    with reading(engine) as session:
        people = [row for row in operators.listed(session) if row["active"]]
    by_link = local and settings.trust_local
    if not (settings.oidc_issuer or by_link or any(row["logs_in"] for row in people)):
        raise SpendSenseError(
            "nobody could log in: `spendsense operator add NAME --password` makes an account, SPENDSENSE_OIDC_ISSUER "
            "names an identity provider",
            code="no_accounts",
        )
    from spendsense_pipeline.service.serving import serve as run

    gc.set_threshold(200_000, 50, 50)  # what is collected at once is what somebody's request waits for
    run(settings, engine, host, port, local=local, tls=(tls_certificate, tls_key), trusted_proxy=trusted_proxy)


@app.command()
@click.argument("operator_id")
def link(operator_id: str) -> Shown:
    """A link that logs this person in, once, within a quarter of an hour."""
    from spendsense_pipeline.governance import credentials
    from spendsense_pipeline.service.login import login_link
    from spendsense_pipeline.service.state import opened

    settings = Settings()
    engine = governance_of(settings)
    if not settings.trust_local:
        raise SpendSenseError("links are made only on a trusted machine (SPENDSENSE_TRUST_LOCAL)", code="not_permitted")
    if credentials.active_person(engine, operator_id) is None:
        raise SpendSenseError(f"there is no active operator {operator_id!r}", code="unknown_operator")
    address = settings.public_url or "http://127.0.0.1:8000"
    url = login_link(opened(settings, engine), operator_id, address)
    return Shown({"operator_id": operator_id, "link": url}, [url])


@app.group()
def token() -> None:
    """Tokens of programs, and of operators who decide by command."""


@token.command("add")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(TOKEN_SCOPES))
@click.option("--user", "user_id", help="Limit it to one customer.")
@click.option("--operator", "operator_id", help="Whose token it is; for the scope review.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days until it ends; default never.")
def token_add(name: str, scopes: tuple[str, ...], days: int | None, **whose: str | None) -> Shown:
    """Make a token; it is shown this once and only its hash is kept."""
    from spendsense_pipeline.governance import credentials

    now = runtime.now()
    with runtime.writing() as session:
        ends = now + dt.timedelta(days=days) if days else None
        made = credentials.add_token(session, name, scopes, now, created_by="command line", expires_at=ends, **whose)
    return Shown(made, [made["token"], f"{made['token_id']}: {', '.join(made['scopes'])}"])


@token.command("revoke")
@click.argument("token_id")
def token_revoke(token_id: str) -> Shown:
    """End a token."""
    from spendsense_pipeline.governance import credentials

    with runtime.writing() as session:
        status = credentials.revoke_token(session, token_id, runtime.now())
    return Shown({"token_id": token_id, "status": status}, [f"{token_id}: {status}"])


@token.command("list")
def token_list() -> Shown:
    """All tokens, without their secrets."""
    from spendsense_pipeline.governance import credentials

    with runtime.reading() as session:
        rows = credentials.tokens(session)
    names = ["token_id", "name", "scopes", "user_id", "operator_id", "last_used_at", "expires_at", "revoked_at"]
    shown = [row | {"scopes": " ".join(row["scopes"])} for row in rows]
    return Shown({"tokens": rows}, columns(shown, names, "no token yet"))


@app.command()
@click.argument("recommendation_id", required=False)
@click.option("--template", help="All texts of a wording: T@HASH.")
@click.option("--product", help="All offers of a product.")
@click.option("--decided-by", help="All that an operator decided, since --since.")
@click.option("--since", type=Day(), help="With --decided-by: from this day on (UTC).")
@click.option("--operator", "operator_id", help="The admin who orders it.")
@click.option("--reason", required=True, help="Stays on record.")
def recall(
    recommendation_id: str | None,
    template: str | None,
    product: str | None,
    decided_by: str | None,
    since: dt.datetime | None,
    operator_id: str | None,
    reason: str,
) -> Shown:
    """Take back what was released: one text, a wording, a product, or an operator's decisions."""
    from spendsense_pipeline.governance import credentials, endings, operators

    targets = {"recommendation": recommendation_id, "template": template, "product": product, "operator": decided_by}
    named = {target: subject for target, subject in targets.items() if subject}
    if len(named) != 1 or bool(decided_by) != bool(since):
        raise click.UsageError("Name one of REC, --template, --product, or --decided-by with --since.")
    settings = Settings()
    engine = governance_of(settings)
    if settings.token or not settings.trust_local:
        token = settings.token.get_secret_value() if settings.token else None
        operator_id, _ = credentials.deciding(
            engine, operator_id, token, runtime.now(), trust_local=settings.trust_local
        )
    ((target, subject),) = named.items()
    done = endings.recall(
        engine,
        target,
        subject,
        runtime.now(),
        reason=reason,
        actor=operator_id or operators.LOCAL,
        since=since.replace(tzinfo=dt.UTC) if since else None,
    )

    def lines() -> Iterable[str]:
        yield f"{done['order_id']}: recalled {len(done['recalled'])}, voided {len(done['voided'])}"
        yield from (f"  {name}" for name in done["recalled"])

    return Shown(done, lines())


@app.command()
@click.option("--template", help="One wording's piece.")
@click.option("--clear", "reference", help="Let a held wording go on: T@HASH, with --operator and --note.")
@click.option("--operator", "operator_id", help="With --clear: who looked.")
@click.option("--note", help="With --clear: what was found.")
def feedback(template: str | None, reference: str | None, operator_id: str | None, note: str | None) -> Shown:
    """What came back from customers, by wording, and the wordings that are held because of it."""
    from spendsense_pipeline.governance import endings
    from spendsense_pipeline.governance import feedback as events

    settings = Settings()
    if reference is not None:
        if not note:
            raise click.UsageError("--clear needs --note: what was found.")
        engine, who, _ = runtime.decider(settings, operator_id)
        cleared = endings.clear_hold(engine, reference, who, runtime.now(), note=note)
        return Shown(cleared, [f"{cleared['template_id']}: no longer held"])
    with runtime.reading(settings) as session:
        rows = events.by_wording(session, template_id=template)
        held = endings.holds(session)

    def lines() -> Iterable[str]:
        names = ["template_id", "released", "seen", "opened", "helpful", "not_helpful", "dismissed", "wrong_figure"]
        yield from columns(rows, [*names, "complaint", "acted"], "nothing was released yet")
        for one in held:
            yield f"held: {one['reference']}, {one['cause'].replace('_', ' ')}, {cell(one['opened_at'])}"

    return Shown({"feedback": rows, "held": held}, lines())

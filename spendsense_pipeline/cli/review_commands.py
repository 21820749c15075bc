"""Review and release: the queue, decisions, the gate, the feed, why."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from spendsense_pipeline.cli import runtime
from spendsense_pipeline.cli.frame import STATUSES, app, decider_option, paged
from spendsense_pipeline.cli.output import Shown, cell, columns, progress
from spendsense_pipeline.cli.runtime import governance_of
from spendsense_pipeline.settings import Settings


@app.command()
@click.option("--status", type=click.Choice(STATUSES), default="pending_approval", show_default=True)
@click.option("--user", "user_id")
@click.option("--persona")
@click.option("--template", "template_id")
@click.option("--by", type=click.Choice(["template"]), help="Grouped into pieces of writing.")
@paged
def queue(status: str, by: str | None, limit: int, offset: int, **chosen: Any) -> Shown:
    """What waits for an operator, most urgent first; approve an item by the reference in its row."""
    from spendsense_pipeline.governance import queue as desk

    if by and any(chosen.values()):
        raise click.UsageError("--by template counts everybody's: leave out --user, --persona and --template.")
    with runtime.reading() as session:
        if by == "template":
            pieces = desk.queue_by_template(session, runtime.now(), status=status)
            shown = pieces[offset : offset + limit]
            payload = {"queue": shown, "total": len(pieces), "limit": limit, "offset": offset}
            rows = [
                {
                    **row,
                    "reference": f"{row['template_id']}@{row['template_hash'][:12]}",
                    "words": "known" if row["wording_approved"] else "new",
                }
                for row in shown
            ]
            names = ["reference", "content_type", "words", "count", "with_findings", "oldest", "next_expiry"]
            return Shown(payload, columns(rows, names))
        found = desk.queue(session, runtime.now(), status=status, limit=limit, offset=offset, **chosen)
    rows = [
        {
            **row,
            "reference": f"{row['recommendation_id']}@{row['content_hash'][:12]}",
            "findings": ", ".join(one["check"] for one in row["findings"]) or "none",
            "words": "known" if row["wording_approved"] else "new",
        }
        for row in found["queue"]
    ]
    names = ["reference", "user_id", "persona", "title", "words", "findings", "age_hours"]
    return Shown(found, [*columns(rows, names), f"{len(rows)} of {found['total']} {status}"])


@app.command()
@click.argument("recommendation_id")
@click.option("--operator", "operator_id", default="", help="Who looks; an approval without @HASH means this text.")
def show(recommendation_id: str, operator_id: str) -> Shown:
    """One recommendation in full."""
    from spendsense_pipeline.governance import queue as desk

    found = desk.show(governance_of(Settings()), recommendation_id, runtime.now(), operator_id=operator_id)

    def lines() -> Iterable[str]:
        yield f"{found['recommendation_id']}@{found['content_hash']}"
        yield f"{found['status']} for {found['user_id']}, {found['persona']}, figures of {found['as_of']}"
        known = "words an operator approved before" if found["wording_approved"] else "words that nobody approved yet"
        yield f"{found['template_id']}@{found['template_hash'][:12]}: {known}"
        yield ""
        yield found["title"]
        yield from (line for line in found["content"].splitlines())
        yield ""
        yield f"why: {found['rationale']}"
        for fact in found["situation_facts"]:
            yield f"  {fact['meaning'] or fact['fact']}: {fact['band']}"
        for name, slot in found["slots"].items():
            yield f"  {name}: {slot['shown']}"
        for one in found["findings"]:
            yield f"finding, {one['severity']}: {one['check']}: {one['message']}"
        for one in found["decisions"]:
            yield f"{cell(one['decided_at'])} {one['action']} by {one['operator_id']}: {one['reason'] or '-'}"
        consent = found["consent"]
        yield f"consent {consent['consent_id']} ({consent['scope']}), {'closed' if consent['closed_at'] else 'live'}"

    return Shown(found, lines())


def _decided(results: list[dict[str, Any]], **besides: list[dict[str, Any]]) -> Shown:
    """What became of each item, and ``besides``; exit 1 where any was refused."""
    from spendsense_pipeline.governance import review

    def lines() -> Iterable[str]:
        for row in results:
            refused = row["refused"]
            said = f"refused, {refused.replace('_', ' ')}" if refused else row["status"].replace("_", " ")
            advice = review.advice(refused, row["recommendation_id"], row.get("findings", ()))
            yield f"{row['recommendation_id']}: {said}{f': {advice}' if advice else ''}"
        for name, rows in besides.items():
            yield from (f"{row['recommendation_id']}: {name}, {row['reason']}" for row in rows)

    return Shown({"results": results, **besides}, lines(), failed=not all(row["ok"] for row in results))


def _decide(action: str, references: Sequence[str], operator_id: str | None, **said: Any) -> Shown:
    """Decide on what is referred to; ``said`` are fields of ``review.Request``."""
    from spendsense_pipeline.gate import reviewed
    from spendsense_pipeline.governance import review

    settings = Settings()
    engine, who, known_by = runtime.decider(settings, operator_id)
    progress(0, len(references), "texts decided; all of them at once")
    asked = review.requests(action, references, who, **said)
    results = review.decide(
        engine, asked, runtime.now(), guardrails=reviewed, four_eyes=settings.four_eyes, known_by=known_by
    )
    return _decided(results)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC[@HASH]...")
@decider_option
@click.option("--note")
def approve(references: tuple[str, ...], operator_id: str | None, note: str | None) -> Shown:
    """Approve texts, each bound to the hash that was seen."""
    return _decide("approve", references, operator_id, reason=note)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC[@HASH]...")
@decider_option
@click.option("--reason", required=True)
def reject(references: tuple[str, ...], operator_id: str | None, reason: str) -> Shown:
    """Reject texts for good."""
    return _decide("reject", references, operator_id, reason=reason)


@app.command()
@click.argument("reference", metavar="REC[@HASH]")
@decider_option
@click.option("--title")
@click.option("--content")
@click.option("--reason", required=True)
def override(reference: str, operator_id: str | None, **words: str | None) -> Shown:
    """Put other words in the place of a waiting text; the original is kept."""
    return _decide("override", [reference], operator_id, **words)


@app.command()
@click.argument("references", nargs=-1, required=True, metavar="REC...")
@decider_option
def undo(references: tuple[str, ...], operator_id: str | None) -> Shown:
    """Take back an approval or an override that was not released yet."""
    return _decide("undo", references, operator_id)


@app.command()
@click.option("--status", type=click.Choice(["new", "approved"]), help="Words nobody approved yet, or the others.")
@paged
def templates(status: str | None, limit: int, offset: int) -> Shown:
    """Pieces of writing with the texts made from them, the lowest and the highest figure they show."""
    from spendsense_pipeline.governance import wordings

    with runtime.reading() as session:
        found = wordings.templates(session, runtime.now(), status=status, limit=limit, offset=offset)

    def lines() -> Iterable[str]:
        for row in found["templates"]:
            yield f"{row['reference']}: {row['status']}, {row['waiting']} waiting, {row['with_findings']} with findings"
            for slot, figure in row["figures"].items():
                yield f"  {slot}: {figure['lowest']['shown']} to {figure['highest']['shown']}"
            for text in row["renderings"]:
                yield f"  {text['recommendation_id']}: {text['title']}"
                yield from (f"      {line}" for line in text["content"].splitlines() if line)
            for one in row["approvals"]:
                yield f"  approved {cell(one['decided_at'])} by {one['operator_id']}, {one['approved']} texts"
        yield f"{len(found['templates'])} of {found['total']}"

    return Shown(found, lines())


@app.command("approve-template")
@click.argument("reference", metavar="T@HASH")
@decider_option
@click.option("--note")
def approve_template(reference: str, operator_id: str | None, note: str | None) -> Shown:
    """Approve what waits in these words without findings; open one of the texts first with `show --operator`."""
    from spendsense_pipeline.governance import wordings

    settings = Settings()
    engine, who, known_by = runtime.decider(settings, operator_id)
    done = wordings.approve_template(
        engine,
        reference,
        who,
        runtime.now(),
        note=note,
        four_eyes=settings.four_eyes,
        known_by=known_by,
        report=lambda so_far: progress(so_far, so_far, "texts in these words"),
    )
    return _decided(done["results"], left=done["left"])


@app.command()
def release() -> Shown:
    """Run the gate now."""
    from spendsense_pipeline import gate

    settings = Settings()
    done = gate.run(settings, governance_of(settings), runtime.now())
    payload = {
        "released": done.released,
        "recalled": done.recalled,
        "blocked": done.blocked,
        **({"ended": done.ended} if done.ended else {}),
    }
    return Shown(
        payload,
        [
            f"released {len(done.released)}, recalled {len(done.recalled)}",
            *(f"held back, {reason.replace('_', ' ')}: {n}" for reason, n in done.blocked.items()),
            *(f"ended, {cause.replace('_', ' ')}: {n}" for cause, n in done.ended.items()),
        ],
    )


@app.command()
@click.option("--user", "user_id")
def released(user_id: str | None) -> Shown:
    """The feed: what a customer may see at this moment."""
    from spendsense_pipeline import gate

    settings = Settings()
    rows = gate.feed(settings, governance_of(settings), runtime.now(), user_id)
    names = ["released_at", "expires_at", "user_id", "title", "recommendation_id", "consent_id", "decision_id"]
    return Shown({"released": rows}, columns(rows, names, "nothing is released"))


@app.command()
@click.argument("recommendation_id")
def why(recommendation_id: str) -> Shown:
    """Why a customer was told something, from stored rows alone."""
    from spendsense_pipeline.governance.why import why as answer
    from spendsense_pipeline.recommendations.slots import told_by

    with runtime.reading() as session:
        found = answer(session, recommendation_id, runtime.now())

    def lines() -> Iterable[str]:
        yield f"{found['recommendation_id']} for {found['user_id']}: {found['status']}"
        yield f"text {found['content_hash']}: {found['title']}"
        if found["insight"]:
            yield f"insight {found['insight']}, happening {found['insight_id']}"
        yield f"situation {found['situation']}, piece {found['template_id']} ({found['prompt_version']})"
        yield f"why: {found['rationale']}"
        for reason in found["reasons"]:
            if reason["met"] and reason["clause"].startswith(f"{found['persona']}."):
                held = f"{cell(reason['value'])} {reason['operator']} {cell(reason['threshold'])}"
                yield f"  {reason['clause']}: {held}"
        for name, slot in found["slots"].items():
            yield f"  slot {name}: {slot['shown']} ({told_by(name, slot)})"
        consent = found["consent"]
        yield (
            f"consent {consent['consent_id']}, {consent['scope']}, granted {cell(consent['granted_at'])}, text "
            f"{consent['text_version']}, through {consent['channel']} ({consent['source']}), closed "
            f"{cell(consent['closed_at'])}"
        )
        for one in found["decisions"]:
            run_id = f", run {one['run_id']}" if one["run_id"] else ""
            yield f"{one['action']} by {one['operator_id']} at {cell(one['decided_at'])}, {one['made']}{run_id}"
        if found["release"]:
            yield f"released {cell(found['release']['released_at'])} as {found['release']['release_id']}"
        if found["recall"]:
            yield f"recalled {cell(found['recall']['recalled_at'])}: {found['recall']['cause']}"

    return Shown(found, lines())

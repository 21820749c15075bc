"""The documents that a bank asks for, written from what is stored: model cards and the record of consent texts.

Belongs here: Markdown of counted rows. Does not belong here: any claim that no row bears out.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from spendsense_pipeline.evaluation.report import SMALLEST_GROUP, words

LIMITS = """\
- Signals are read from transactions: cash, accounts elsewhere and what nobody printed on a statement are not seen.
- Accuracy is measured on generated customers, whose habits are planted; real statements are harder.
- A signal that is unknown is null and never zero; texts that need it are not written.
"""


def detectors(accuracy: pd.DataFrame | None, metrics: pd.DataFrame | None, thresholds: str, written_on: dt.date) -> str:
    """The model card of the detectors: ``accuracy`` as SignalAccuracy and ``metrics`` as EvaluationMetrics of the
    newest date, None where there are none; ``thresholds`` names the documents that define them."""
    lines = [f"# Model card: detectors\n\nWritten {written_on} from the newest stored run.\n\n## What they are\n"]
    lines.append(f"Rules with published thresholds, no trained model: {thresholds}.\n\n## Accuracy\n")
    if accuracy is None or accuracy.empty:
        lines.append(
            "Not measured: `signal_accuracy` was not materialized (it needs customers whose truth is known).\n"
        )
    else:
        day = accuracy["as_of"].iloc[0]
        lines.append(f"On generated customers, {day}. `of` is the group: kind, cadence, frequency or persona.\n")
        lines += _markdown_table(
            ("measure", "of", "value", "right", "of how many"),
            (
                (
                    row["measure"],
                    row["of"],
                    _share_text(row["value"]),
                    _count_text(row["numerator"]),
                    _count_text(row["denominator"]),
                )
                for row in accuracy.to_dict("records")
                if not str(row["measure"]).endswith("_confusion")
            ),
        )
    lines.append("\n## By group\n")
    groups = None if metrics is None else metrics[metrics["dimension"].notna()]
    if groups is None or groups.empty:
        lines.append("Not measured: no date was evaluated.\n")
    else:
        lines += _markdown_table(
            ("measure", "dimension", "band", "share", "of"),
            (
                (
                    words(row["measure"]),
                    words(row["dimension"]),
                    row["band"],
                    _share_text(row["value"]),
                    _count_text(row["denominator"]),
                )
                for row in groups.to_dict("records")
                if row["denominator"] >= SMALLEST_GROUP
            ),
        )
    return "\n".join([*lines, "\n## Limits\n", LIMITS])


def wordings(texts: pd.DataFrame, sentences: Mapping[str, Sequence[str]], written_on: dt.date) -> str:
    """The model card of the wordings: ``texts`` as ``database_frames.texts``; ``sentences`` of each experiment."""
    lines = [f"# Model card: wordings\n\nWritten {written_on} from all registered texts.\n"]
    if texts.empty:
        return "\n".join([*lines, "No text was registered yet.\n"])
    by = ["template_id", "template_hash", "generator"]
    counted = texts.assign(released=texts["released_at"].notna(), complained=texts["complaints"] > 0)
    for status in ("approved", "overridden", "rejected"):
        counted[status] = counted["status"] == status
    names = ["approved", "overridden", "rejected", "released", "held", "complained"]
    rows = counted.groupby(by)[names].sum().join(counted.groupby(by).size().rename("registered")).reset_index()
    lines += _markdown_table(
        ("wording", "hash", "written by", "registered", *names),
        (
            (
                *(row["template_id"], row["template_hash"][:12], row["generator"]),
                *(_count_text(row[name]) for name in ("registered", *names)),
            )
            for row in rows.to_dict("records")
        ),
    )
    lines.append("\n## Do they help?\n")
    if not sentences:
        lines.append("Not tested: no experiment was started.\n")
    for name, said in sentences.items():
        lines += [f"### {name}\n", *(f"- {one}" for one in said or ["nothing was analysed yet"]), ""]
    return "\n".join([*lines, "\n## Limits\n", "- A text that was approved is not thereby shown to help.", LIMITS])


def consent_texts(record: Iterable[Mapping[str, Any]], written_on: dt.date) -> str:
    """The record of consent texts (rows of ``governance.consent_texts.record``), each with its words."""
    lines = [f"# Consent texts\n\nWritten {written_on}. A version's words never change; each is in the audit chain.\n"]
    for row in record:
        used = f"{row['agreements']:,} agreements"
        if row["agreements"]:
            used += f", {row['first']:%Y-%m-%d} to {row['last']:%Y-%m-%d}"
        lines.append(f"## {row['version']}\n\n{used}.")
        if row["content"] is None:
            lines.append("\n**The text of this version was never registered** (`spendsense consent text`).\n")
        else:
            quoted = "\n".join(f"> {line}".rstrip() for line in row["content"].splitlines())
            lines.append(f"\nSHA-256 {row['digest']}\n\n{quoted}\n")
    return "\n".join(lines)


def retention(
    tables: Mapping[str, Sequence[str]],
    record: Iterable[Mapping[str, Any]],
    holds: Iterable[Mapping[str, Any]],
    stays: Iterable[tuple[str, str]],
    written_on: dt.date,
) -> str:
    """What is kept and since when, what an erasure leaves, which legal holds stand.

    ``tables`` maps a table to its partitions; ``record`` are rows {what, count, oldest, newest} of the governance
    database; ``holds`` as ``governance.holds.listed``; ``stays`` what an erasure leaves, with the reason.
    """
    lines = [
        f"# Retention\n\nWritten {written_on}. Nothing is deleted by age unless somebody set it up.\n\n## Tables\n"
    ]
    lines += _markdown_table(
        ("table", "partitions", "first", "last"),
        ((name, f"{len(keys):,}", keys[0], keys[-1]) for name, keys in tables.items() if keys),
    )
    lines.append("\n## Governance database\n")
    lines += _markdown_table(
        ("rows of", "how many", "oldest", "newest"),
        (
            (row["what"], _count_text(row["count"]), _day_text(row["oldest"]), _day_text(row["newest"]))
            for row in record
        ),
    )
    lines.append("\n## Legal holds\n")
    standing = [row for row in holds if row["lifted_at"] is None]
    if standing:
        lines += _markdown_table(
            ("hold", "since", "by", "reason", "an erasure waits"),
            (
                (
                    row["hold_id"],
                    _day_text(row["placed_at"]),
                    row["operator_id"],
                    row["reason"],
                    _yes_or_no(row["erasure_waits"]),
                )
                for row in standing
            ),
        )
    else:
        lines.append("None stands.")
    lines.append("\n## What an erasure leaves\n")
    return "\n".join([*lines, *_markdown_table(("what", "why"), stays), ""])


def _day_text(moment: dt.datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d}"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{'---|' * len(heads)}",
        *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows),
    ]


def _share_text(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1%}" if value <= 1 else f"{value:,.2f}"


def _count_text(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}"

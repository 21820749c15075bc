"""From saved Plaid responses to raw rows: one translation into the landing format, run by the engine.

Read are the responses of `/accounts/get`, `/transactions/sync`, `/transactions/get` and `/liabilities/get`
(plaid.com/docs/api), each saved as it came in a ``*.json`` file: one response, or an array of them. Pages are taken
in the order of their file names (``page_2`` before ``page_10``), and within one sync page added, modified, removed:
what comes later replaces what came before. A batch of responses is told by a file ``_PLAID`` in it.

The customer of a response is named by a ``user_id`` beside it (``{"user_id": ..., "accounts": ...}`` or
``{"user_id": ..., "response": {...}}``), or else by the folder that the file lies in.

What does not belong here: whether a value makes sense (`canonical.py`), what a category means (``features/``).
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from ibis.backends.duckdb import Backend

from spendsense_pipeline.ingest.fields import names
from spendsense_pipeline.ingest.files import (
    PLAID,
    BatchRefused,
    FileSurvey,
    LandedFile,
    about_the_file,
    damage,
    entries,
    erasure_note,
    literal,
    pattern,
    quoted,
    readable,
    turned,
)

TABLES = ("users", "accounts", "transactions", "liabilities")
LISTS = ("accounts", "transactions", "added", "modified", "removed")
LIABILITIES = ("credit", "student", "mortgage")
LARGEST_RESPONSE = 1 << 30  # bytes; pages hold 500 transactions, but people join them
PLAIN_NAME = re.compile(r"[A-Za-z0-9._:=+#-]{1,256}")


@dataclass(frozen=True)
class Response:
    """A saved response: its name within the batch, where it lies, and the customer that its folder names, if any."""

    name: str
    path: Path
    folder: str | None


# --- Which files ---


def marked(batch_dir: Path) -> bool:
    """Whether the folder says that it holds Plaid's responses."""
    return (batch_dir / PLAID).is_file()


def discover(batch_dir: Path) -> list[Response]:
    """The responses of a batch in the order of their pages.

    The folder right below the batch names the customer. A folder that has not landed yet (nothing marks it) may be a
    customer's own: the files right in it are taken to lie in a folder of its name.
    """
    own = None if marked(batch_dir) else batch_dir.resolve().name
    found = [
        Response(
            "/".join(within if len(within) > 1 or own is None else (own, *within)),
            path,
            within[0] if len(within) > 1 else own,
        )
        for path in _files(batch_dir)
        for within in [path.relative_to(batch_dir).parts]
    ]
    if not found and not erasure_note(batch_dir).is_file():
        raise BatchRefused(f"{batch_dir.name}: no saved response in this folder; expected CUSTOMER/*.json")
    return sorted(found, key=lambda one: [(word, int(n or 0)) for word, n in re.findall(r"(\D*)(\d*)", one.name)])


def _files(folder: Path) -> Iterator[Path]:
    for path in entries(folder):
        if path.is_dir():
            yield from _files(path)
        elif path.suffix == ".json":
            yield readable(path, path.name)


# --- A first look ---


def survey(con: Backend, batch_dir: Path, tables: Sequence[str] = TABLES) -> list[FileSurvey]:
    """Read each response once, and refuse the batch if one is none of those that are read, or names no customer."""
    responses = discover(batch_dir)
    if not responses:  # all of them were those of erased customers
        return []
    listed = ", ".join(f"json_type(body, '$.{name}') AS {name}" for name in LISTS)
    owed = ", ".join(f"json_type(body, '$.liabilities.{name}') AS owed_{name}" for name in LIABILITIES)
    counts = ", ".join(f"({_counted(table)}) AS rows_{table}" for table in TABLES)
    query = (
        f"SELECT name, user_id, json_type(body) AS shape, json_type(body, '$.liabilities') AS owed, "
        f"body->>'$.error_code' AS error, {listed}, {owed}, {counts} FROM ({_responses(responses)}) ORDER BY page"
    )
    try:
        found = con.raw_sql(query).fetch_arrow_table().to_pylist()
    except duckdb.Error as error:
        if not about_the_file(error):
            raise
        raise BatchRefused(
            f"{_named(error, responses)}: cannot be read as JSON{damage(error).partition(' in ')[0]}"
        ) from None
    by_name: dict[str, list[dict[str, object]]] = {}
    for one in found:
        by_name.setdefault(one["name"], []).append(one)
    surveyed = []
    for response in responses:
        told = by_name.get(response.name, [])
        _check(response, told)
        for table in (one for one in tables if one in TABLES):
            rows = sum(int(str(one[f"rows_{table}"])) for one in told)
            surveyed.append(FileSurvey(LandedFile(table, response.path, "plaid", response.name), rows))
    return [one for one in surveyed if one.rows]


def _check(response: Response, told: Sequence[dict[str, object]]) -> None:
    name = response.name
    if not told:
        raise BatchRefused(f"{name}: the file is empty; save the response as it came")
    for one in told:
        if one["shape"] != "OBJECT":
            raise BatchRefused(f"{name}: holds no response of Plaid's, which is a JSON object")
        if one["error"] is not None:
            raise BatchRefused(f"{name}: Plaid answered with the error {str(one['error'])[:100]}; pull it again")
        misshapen = [part for part in LISTS if one[part] not in (None, "NULL", "ARRAY")]
        misshapen += [
            f"liabilities.{part}" for part in LIABILITIES if one[f"owed_{part}"] not in (None, "NULL", "ARRAY")
        ]
        misshapen += ["liabilities"] if one["owed"] not in (None, "NULL", "OBJECT") else []
        if misshapen:
            raise BatchRefused(f"{name}: its {misshapen[0]} is no list; save the response as it came")
        if all(one[part] is None for part in LISTS) and one["owed"] is None:
            raise BatchRefused(
                f"{name}: none of accounts, transactions, added, modified, removed, liabilities is in it; read are the "
                "responses of /accounts/get, /transactions/sync, /transactions/get and /liabilities/get"
            )
        if one["user_id"] is None:
            raise BatchRefused(f"{name}: whose is it? Put it into a folder of the customer's id, or add a user_id")
        if one["user_id"] == response.folder and not PLAIN_NAME.fullmatch(response.folder or ""):
            # The folder's name stands in every report on its rows.
            raise BatchRefused(
                f"{PLAID}: a folder's name is no plain id; name it by the customer's id, never by name or e-mail"
            )


def _named(error: Exception, responses: Sequence[Response]) -> str:
    """The response that an engine's error is about."""
    said = str(error)
    return next((one.name for one in responses if f'"{one.path}"' in said), "a response")


# --- Raw rows ---


def rows(batch_dir: Path, table: str) -> str:
    """SQL for file, page, row and the fields of one table in the landing format, each as text.

    ``row`` counts what the file holds of the table, from 1: through added, modified and removed on a sync page,
    through credit, student and mortgage for liabilities.
    """
    shown = ", ".join(
        f"{TRANSLATION[table][name]} AS {quoted(name)}"
        if name in TRANSLATION[table]
        else f"CAST(NULL AS VARCHAR) AS {quoted(name)}"
        for name in names(table)
    )
    return (
        f"SELECT name AS file, CAST(page + kind AS BIGINT) AS page, "
        f"row_number() OVER (PARTITION BY name ORDER BY page, kind, place) AS row, {shown} "
        f"FROM ({_items(_responses(discover(batch_dir)), table)})"
    )


def _responses(responses: Sequence[Response]) -> str:
    """SQL for name, page (in steps of 10), user_id and body of each response."""
    paths = "[" + ", ".join(literal(str(one.path)) for one in responses) + "]"
    read = "[" + ", ".join(pattern(one.path) for one in responses) + "]"
    shown = "[" + ", ".join(literal(one.name) for one in responses) + "]"
    folders = "[" + ", ".join(literal(one.folder) if one.folder else "NULL" for one in responses) + "]"
    return f"""
    SELECT name, (place * 1000000 + part) * 10 AS page,
      coalesce(nullif(trim(said->>'$.user_id'), ''), folder) AS user_id, coalesce(said->'$.response', said) AS body
    FROM (
      SELECT name, place, folder, generate_subscripts(parts, 1) AS part, unnest(parts) AS said FROM (
        SELECT name, place, folder, CASE json_type(json) WHEN 'ARRAY' THEN json->'$[*]' ELSE [json] END AS parts
        FROM read_json_objects({read}, format = 'unstructured', filename = true, compression = 'uncompressed',
          maximum_object_size = {LARGEST_RESPONSE})
        JOIN (SELECT unnest({paths}) AS filename, unnest({shown}) AS name, unnest({folders}) AS folder,
          generate_subscripts({paths}, 1) AS place) USING (filename)))
    """


def _each(path: str, kind: int) -> str:
    return f"list_transform(coalesce(body->'{path}[*]', []), lambda one: {{kind: {kind}, one: one}})"


ITEMS = {
    "users": "[{kind: 0, one: body}]",
    "accounts": _each("$.accounts", 0),
    "transactions": " || ".join(
        _each(path, kind) for path, kind in [("$.transactions", 0), ("$.added", 0), ("$.modified", 1), ("$.removed", 2)]
    ),
    "liabilities": " || ".join(_each(f"$.liabilities.{name}", kind) for kind, name in enumerate(LIABILITIES)),
}
"""What a response holds of each table, as a list of {kind, one}; a higher kind comes later within the response."""


def _counted(table: str) -> str:
    return f"len({ITEMS[table]})"


def _items(responses: str, table: str) -> str:
    if table == "users":  # a customer once, wherever first met
        return (
            f"SELECT arg_min(name, page) AS name, 0 AS page, 0 AS kind, min(page) AS place, user_id "
            f"FROM ({responses}) GROUP BY user_id"
        )
    return (
        f"SELECT name, page, user_id, item.kind AS kind, place, item.one AS one FROM (SELECT name, page, user_id, "
        f"unnest({ITEMS[table]}) AS item, generate_subscripts({ITEMS[table]}, 1) AS place FROM ({responses}))"
    )


FORMS = {
    "sql": "{0}",
    # What is no object is a row without any value, which is rejected as unreadable.
    "of_object": "CASE WHEN json_type(one) = 'OBJECT' THEN {0} END",
    "turned": turned("(one->>'{0}')"),
    # Of several rates of a kind, the one on the largest balance.
    "apr": "list_sort(list_transform(list_filter(coalesce(one->'$.aprs[*]', []), "
    "lambda apr: apr->>'$.apr_type' = '{0}'), "
    "lambda apr: {{owed: coalesce(try_cast(apr->>'$.balance_subject_to_apr' AS DOUBLE), 0), "
    "rate: apr->>'$.apr_percentage'}}), 'DESC')[1].rate",
}
"""How `plaid.toml` tells a field that is no plain path."""


def _told(how: Any) -> str:
    if isinstance(how, dict):
        ((form, value),) = how.items()
        return FORMS[form].format(value)
    texts = [f"(one->>'{path}')" for path in ([how] if isinstance(how, str) else how)]
    return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"


def _translation() -> dict[str, dict[str, str]]:
    """Each field of the landing format that a response tells, as SQL on ``one``, ``kind`` and ``user_id``."""
    tables = tomllib.loads(Path(__file__).with_name("plaid.toml").read_text(encoding="utf-8"))
    fields = {table: {name: _told(how) for name, how in told.items()} for table, told in tables.items()}
    fields["transactions"] |= {
        name: f"CASE WHEN kind < 2 THEN {sql} END"
        for name, sql in fields["transactions"].items()
        if name not in KEPT_OF_REMOVED
    }
    return fields


KEPT_OF_REMOVED = ("transaction_id", "account_id", "removed")
TRANSLATION = _translation()

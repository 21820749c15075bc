"""A large table as parts by month, so that a merge writes anew the months that it changes and no other.

``<root>/<asset>.parquet`` is a folder then. ``_manifest.json`` in it names the parts that make up the table, and
putting it in its place makes all of a merge's result current at once: who reads sees the rows before it or after it.
A part that is current no more goes to ``<root>/<asset>/former``, and the manifest that named it lies there beside it.
So a reader who began before finishes, and a former state is read again by putting its manifest back. Programs that know
nothing of manifests read the folder as one table, for it holds the current parts alone.

What does not belong here: which months a merge changes (``ingest/merge.py``), and in which order rows are stored
(``warehouse.py``).
"""

import datetime as dt
import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

MANIFEST = "_manifest.json"  # readers of folders pass over names that begin so
UNFINISHED = ".tmp"


class Manifest(NamedTuple):
    """``parts`` are the names of files by month (``2026-05``), ``note`` says what they were made of."""

    parts: dict[str, str]
    note: str | None = None

    def text(self) -> str:
        """As JSON; equal manifests are equal texts."""
        return json.dumps(self._asdict(), sort_keys=True)

    @property
    def id(self) -> str:
        """Stands for the rows, for as long as their parts are kept."""
        return _digest(self.text().encode())


def manifest(filesystem: Any, folder: str) -> Manifest | None:
    """The manifest of the table in the ``folder``, None where it is no table by months."""
    place = f"{folder}/{MANIFEST}"
    return Manifest(**json.loads(filesystem.cat_file(place))) if filesystem.isfile(place) else None


def files(filesystem: Any, folder: str, found: Manifest) -> list[str]:
    """The paths of the parts by month, ascending; of one that is current no more the one among the former."""
    there = {path.rsplit("/", 1)[-1] for path in filesystem.ls(folder, detail=False)}
    names = [name for _, name in sorted(found.parts.items())]
    return [f"{folder}/{name}" if name in there else f"{former(folder)}/{name}" for name in names]


def former(folder: str) -> str:
    """Where parts go that are current no more."""
    return f"{folder.removesuffix('.parquet')}/former"


def place(filesystem: Any, folder: str, parts: Mapping[str, Path], note: str | None, kept_since: dt.datetime) -> None:
    """Make the local ``parts`` those of their months, whatever lay there before; a month without a file goes.

    Former states are kept that were current at ``kept_since`` or later, and the last one in any case.
    """
    if filesystem.isfile(folder) and isinstance(filesystem, LocalFileSystem):
        # One name cannot be a file and a folder: for a moment there is neither, and a run killed in it leaves what the
        # next merge makes anew from the raw rows.
        beside = f"{folder}{UNFINISHED}"
        if filesystem.isdir(beside):
            filesystem.rm(beside, recursive=True)
        _place(filesystem, beside, parts, Manifest({}), note)
        filesystem.rm_file(folder)
        filesystem.mv(beside, folder, recursive=True)
        return
    _forget(filesystem, former(folder), kept_since)
    before = manifest(filesystem, folder)
    current = _place(filesystem, folder, parts, before or Manifest({}), note)
    if before is None and filesystem.isfile(folder):
        filesystem.rm_file(folder)  # an object store has both
    _set_aside(filesystem, folder, before, {*current.parts.values()})


def _place(filesystem: Any, folder: str, parts: Mapping[str, Path], before: Manifest, note: str | None) -> Manifest:
    filesystem.makedirs(folder, exist_ok=True)
    names = dict(before.parts)
    for month, part in parts.items():
        names.pop(month, None)
        if part.exists():
            names[month] = f"{month}.{_digest(part.read_bytes())}.parquet"
            _put(filesystem, part, f"{folder}/{names[month]}")
    current = Manifest(names, note)
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / MANIFEST
        written.write_text(current.text(), encoding="utf-8")
        _put(filesystem, written, f"{folder}/{MANIFEST}")
    return current


def current_or_former(filesystem: Any, path: str) -> str:
    """The path of a part, as it was read from a manifest, or where it lies if it is current no more."""
    folder, _, name = path.rpartition("/")
    there = f"{former(folder)}/{name}"
    return there if folder.endswith(".parquet") and not filesystem.exists(path) and filesystem.exists(there) else path


def bounds(month: str) -> tuple[dt.date, dt.date]:
    """The first day of a month, and of the next one."""
    first = dt.date.fromisoformat(f"{month}-01")
    return first, (first + dt.timedelta(days=31)).replace(day=1)


def _set_aside(filesystem: Any, folder: str, before: Manifest | None, current: set[str]) -> None:
    """Take out of the folder what the manifest does not name: former parts, and what killed merges left of theirs."""
    filesystem.makedirs(former(folder), exist_ok=True)
    if before is not None:
        filesystem.pipe_file(f"{former(folder)}/{before.id}.json", before.text().encode())
    for path in filesystem.ls(folder, detail=False):
        name = path.rsplit("/", 1)[-1]
        if name.endswith(UNFINISHED):
            filesystem.rm_file(path)
        elif name not in {*current, MANIFEST}:
            filesystem.mv(path, f"{former(folder)}/{name}")


def _forget(filesystem: Any, folder: str, kept_since: dt.datetime) -> None:
    """Delete the former manifests that were replaced before, and the parts that none of the others names."""
    if not filesystem.isdir(folder):
        return
    paths = filesystem.ls(folder, detail=False)
    kept = [path for path in paths if path.endswith(".json") and filesystem.modified(path) >= kept_since]
    named = {name for path in kept for name in json.loads(filesystem.cat_file(path))["parts"].values()}
    for path in paths:
        if path not in kept and path.rsplit("/", 1)[-1] not in named:
            filesystem.rm_file(path)


def _put(filesystem: Any, file: Path, target: str) -> None:
    """Put a local file in its place in one piece."""
    if isinstance(filesystem, LocalFileSystem):
        beside = f"{target}{UNFINISHED}"
        filesystem.put_file(str(file), beside)
        Path(beside).replace(target)
    else:
        filesystem.put_file(str(file), target)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]

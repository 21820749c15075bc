"""What is worked out once per version of the program and kept in a folder for the processes that follow.

What does not belong here: what is worked out.
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def made_once(folder: Path, name: str, version: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gave, as JSON has it, in this process or one before, as long as ``version``, a digest in hex, stays
    the same. What was kept of another version goes."""
    file = folder / f"{name}-{version[:16]}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob(f"{name}-*.json"):
        former.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", encoding="utf-8", delete=False) as written:
        json.dump(made, written)
    Path(written.name).replace(file)
    return made


@functools.cache
def package_version() -> str:
    """Stands for all code, lists and models of this package, as sha256 in hex."""
    files = sorted(file for file in Path(__file__).parent.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()

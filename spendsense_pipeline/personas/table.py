"""The table of personas, ``personas.toml``, as values: what everything that depends on the personas reads.

Belongs here: reading the table. Does not belong here: applying it (``assignment``, ``recommendations``).
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Persona:
    """One table of the file; its comments say what each field is for."""

    topic: str
    tags: tuple[str, ...]
    facts: tuple[str, ...]
    slots: tuple[str, ...]
    rules: tuple[dict[str, Any], ...]
    """Fields of ``rules.Rule`` but for the persona, each with its source written out."""


def _read(text: str) -> dict[str, Persona]:
    table = tomllib.loads(text)
    sources = table["sources"]
    return {
        name: Persona(
            topic=persona["topic"],
            **{field: tuple(persona[field]) for field in ("tags", "facts", "slots")},
            rules=tuple(rule | {"source": sources[rule["source"]]} for rule in persona["rules"]),
        )
        for name, persona in table["personas"].items()
    }


PERSONAS: Final = _read(Path(__file__).with_name("personas.toml").read_text(encoding="utf-8"))

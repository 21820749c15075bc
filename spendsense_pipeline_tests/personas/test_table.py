"""The table of personas: adding one is adding a table, a prompt and a piece; no code names them."""

import shutil
import subprocess
import sys
from pathlib import Path

import spendsense_pipeline
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.settings import PROJECT_ROOT

PACKAGE = Path(spendsense_pipeline.__file__).parent
ADDED = """
[personas.cash_payer]
topic = "debt"
tags = []
facts = ["margin"]
slots = ["monthly_margin", "monthly_expenses"]
rules = [
    { priority = 0.9, clause = "no_card", signal = "card_count", operator = "==", threshold = 0, source = "trust" },
]
"""
PIECE = """+++
title = "A month without a card"
topic = "cash"
facts = []
slots = ["monthly_margin", "monthly_expenses"]
tags = []
+++
You have {{ monthly_margin }} left of a month in which you spend {{ monthly_expenses }}.

Paying from what is there keeps the end of the month in sight.

A step to try: write down what is left on the day before payday.
"""
USES_IT = """
import datetime as dt
import pandas as pd
from spendsense_pipeline.contracts import CONTRACTS
from spendsense_pipeline.contracts.schemas import failures
from spendsense_pipeline.personas.table import PERSONAS
from spendsense_pipeline.governance.topics import topic_of
from spendsense_pipeline.personas.assignment import assign_personas
from spendsense_pipeline.personas.rules import RULES
from spendsense_pipeline.recommendations.facts import situation_key
from spendsense_pipeline.recommendations.library import load_library
from spendsense_pipeline.recommendations.prompts import load_prompts, situation_of
from spendsense_pipeline.settings import Settings

row = {"user_id": "mia", "as_of": dt.date(2026, 3, 31), "window_days": 30, "history_days": 30, "currency_factor": 1.0}
row |= dict.fromkeys((rule.signal for rule in RULES)) | {"card_count": 0}
frame = pd.DataFrame([row])
for name in {rule.signal for rule in RULES}:
    frame[name] = frame[name].astype("Float64")
given = assign_personas(frame)
found = failures(CONTRACTS["persona_assignments_30d"], given)
assert found.empty, found
assert given["persona"].tolist() == ["cash_payer"] and "cash_payer" in PERSONAS
key = situation_key("cash_payer", {"margin": "plus"}, {"monthly_margin": {}, "monthly_expenses": {}})
assert situation_of(key).about == "cash_payer"
(piece,) = [one for one in load_library(Settings().prompts) if one.about == "cash_payer"]
assert piece.fits("cash_payer", {}, ["monthly_margin", "monthly_expenses"])
assert "A month without a card" in load_prompts(Settings().prompts)["cash_payer"].text
assert topic_of({"content_type": "education", "insight": None, "persona": "cash_payer"}) == "debt"
"""


def test_a_persona_is_added_by_rows_and_a_prompt(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    shutil.copytree(PROJECT_ROOT / "prompts", tmp_path / "prompts")
    with (tmp_path / PACKAGE.name / "personas" / "personas.toml").open("a") as table:
        table.write(ADDED)
    for folder in (tmp_path / "prompts" / "library").iterdir():  # each piece is checked on loading: one will do
        for piece in sorted(folder.glob("*.md"))[1:]:
            piece.unlink()
    (tmp_path / "prompts" / "cash_payer.md").write_text("version: cash_payer-1\n\nWrite for who pays in cash.\n")
    (tmp_path / "prompts" / "library" / "cash_payer").mkdir()
    (tmp_path / "prompts" / "library" / "cash_payer" / "a-month.md").write_text(PIECE)
    done = subprocess.run([sys.executable, "-c", USES_IT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_code_names_the_personas() -> None:
    """But for the fallback, docstrings' examples, and the generator, which must not share what it is there to judge."""
    for module in sorted(PACKAGE.rglob("*.py")):
        if module.is_relative_to(PACKAGE / "synthetic"):
            continue
        code = "\n".join(line for line in module.read_text().splitlines() if ">>>" not in line)
        named = [name for name in PERSONAS if f'"{name}"' in code]
        assert named == (["savings_builder"] if module.name == "rules.py" else []), module

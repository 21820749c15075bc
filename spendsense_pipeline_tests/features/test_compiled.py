"""The mode of a process: chosen before the first kernel, and plain Python needs no compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

from spendsense_pipeline.features import compiled
from spendsense_pipeline.features.compiled import Mode, choose, is_compiled
from spendsense_pipeline_tests.features.ledger import Ledger


def test_the_mode_cannot_change_once_kernels_are_imported() -> None:
    assert Ledger().signals().features.num_rows == 0
    with pytest.raises(RuntimeError, match="imported in the other mode"):
        choose(Mode(Path()))
    choose(Mode())
    assert not is_compiled()


def test_plain_kernels_do_not_import_the_compiler() -> None:
    program = """
import sys
from spendsense_pipeline_tests.features.ledger import Ledger
ledger = Ledger()
(account,) = ledger.customer("ann", "checking")
ledger.row(account, 3, -1, "Deli")
assert ledger.signals().features.num_rows == 2
print("numba" in sys.modules)
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_checked_kernels_are_not_those_without_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compiled.version()
    monkeypatch.setattr(compiled, "_mode", Mode(Path(), checked=True))
    assert compiled.version() != plain


def test_other_sources_are_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled.version()
    monkeypatch.setattr(compiled, "sources", lambda: [Path(__file__)])
    assert compiled.version() != before


def test_code_for_any_processor_is_found_on_this_one_and_another_s_is_not(tmp_path: Path) -> None:
    compiled.Code("kernel", "(int)", 1, b"").store(compiled.place_of(tmp_path, "another", "+one"))
    assert compiled.ready(tmp_path) is None
    generic = compiled.place_of(tmp_path, compiled.GENERIC, "")
    code = compiled.Code("kernel", "(int, float64)", 3, b"\x7fELF\n\n")
    code.store(generic)
    assert compiled.ready(tmp_path) == generic
    assert compiled.Code.read(generic) == code

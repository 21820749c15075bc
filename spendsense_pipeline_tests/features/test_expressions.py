"""Division, whole words, three-valued flags and windows as expressions."""

import ibis
import pyarrow as pa
import pytest

from spendsense_pipeline.features.expressions import any_of, each_window, per_window, plain, ratio, words


@pytest.mark.parametrize(("above", "below", "found"), [(1.0, 4.0, 0.25), (1.0, 0.0, None), (0.0, 0.0, None)])
def test_a_ratio_by_zero_is_unknown(above: float, below: float, found: float | None) -> None:
    assert ratio(ibis.literal(above), ibis.literal(below)).as_scalar().to_pyarrow().as_py() == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("LATE-FEE", True),
        ("late   fee!", True),
        ("latte fee", False),
        ("[late]_fee", True),
        ("coffee", False),
        (None, False),
    ],
)
def test_words_are_whole_words_whatever_stands_between_them(text: str | None, found: bool) -> None:
    text = ibis.literal(text, type="string")
    assert words(plain(text), "late fee").as_scalar().to_pyarrow().as_py() is found


def test_any_of_flags_is_true_then_unknown_then_false() -> None:
    groups = {"a": [False, None, True], "b": [False, None], "c": [False, False], "d": [None]}
    rows = [{"group": group, "flag": flag} for group, flags in groups.items() for flag in flags]
    table = ibis.memtable(pa.Table.from_pylist(rows, schema=pa.schema([("group", pa.string()), ("flag", pa.bool_())])))
    found = table.group_by("group").agg(flag=any_of(table.flag)).to_pyarrow().to_pylist()
    assert {row["group"]: row["flag"] for row in found} == {"a": True, "b": None, "c": False, "d": None}


def test_every_row_is_laid_out_over_the_windows_with_its_own_column() -> None:
    table = each_window(ibis.memtable({"spent_7": [1.0], "spent_30": [2.0]}), [7, 30])
    picked = per_window(table.window_days, {7: table.spent_7, 30: table.spent_30})
    found = table.select("window_days", spent=picked).to_pyarrow().to_pylist()
    assert {row["window_days"]: row["spent"] for row in found} == {7: 1.0, 30: 2.0}

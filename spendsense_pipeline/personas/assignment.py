"""From features to personas: which rules hold for a customer, and what follows.

Frames in, frames out, one row per customer and window. What the rules *are* stands in ``rules.py``; what is
then written for a persona belongs to ``recommendations/``.
"""

import json
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.personas.rules import EXPLAINED, FALLBACK, RULES, Rule, rules_version

FALLBACK_CONFIDENCE: Final = 0.2
"""The most that may be said of a customer whom nothing matched."""

_COMPARE: Final[dict[str, Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}
# Sums of cents carry binary noise in the last digits; what is recorded and compared ends before it.
_DECIMALS: Final = 6

Verdict = tuple[str, float | None, list[str], bool]


class UnreadableReasons(SpendSenseError):
    """Recorded reasons do not belong to the table of rules they are read with."""

    code = "unreadable_reasons"


def assign_personas(features: pd.DataFrame, rules: tuple[Rule, ...] = RULES) -> pd.DataFrame:
    """Give each row of features its persona (contract ``persona_assignments_30d``), in the order of the features.

    ``features`` may hold one window or several. An unknown signal (null) satisfies no criterion. Thresholds on money
    are for a US dollar and scale with the row's ``currency_factor``. Nothing matched: ``savings_builder`` as a
    fallback, with a null priority.

    ``confidence`` is *coverage* × (0.5 + 0.5 × *margin*), to four digits:

    - coverage: the part of the window that the known history fills, min(1, ``history_days`` ÷
      ``window_days``);
    - margin: how far the verdict is from falling. A met criterion's margin is |value − threshold| ÷
      |threshold|, at most 1, and 1 for flags, equalities and a threshold of zero; a clause has the margin of
      its best alternative, a persona that of its weakest clause.

    It is at most ``explained_share``, of a persona that asks for it. So 0.5 is a full window exactly on a threshold. A
    fallback has 0.2 × coverage × the part of the criteria
    whose signal is known.
    """
    thresholds = _thresholds(features, rules)
    values = {signal: _values(features[signal]) for signal in {rule.signal for rule in rules}}
    met = [
        _COMPARE[rule.operator](values[rule.signal], threshold)  # a comparison with NaN is false
        for rule, threshold in zip(rules, thresholds, strict=True)
    ]
    priorities = _priorities(rules, met)
    margins = _margins(rules, values, thresholds, met)
    verdicts = _best(rules, priorities)
    persona = [verdict[0] for verdict in verdicts]
    fallback = np.array([verdict[3] for verdict in verdicts], dtype=bool)

    covered = (features["history_days"].astype(float) / features["window_days"].astype(float)).clip(0, 1)
    coverage = covered.fillna(0).to_numpy()
    known = np.mean([~np.isnan(values[rule.signal]) for rule in rules], axis=0)
    names = list(dict.fromkeys(rule.persona for rule in rules))
    column = np.array([names.index(name) for name in persona], dtype=int)
    margin = margins[np.arange(len(features)), column]
    confidence = coverage * np.where(fallback, FALLBACK_CONFIDENCE * known, 0.5 + 0.5 * margin)
    asked = np.isin(persona, [rule.persona for rule in rules if rule.clause == EXPLAINED]) & ~fallback
    share = values.get("explained_share", np.ones(len(features)))
    confidence = np.where(asked, np.fmin(confidence, share), confidence)

    index = features.index
    return pd.DataFrame(
        {
            "user_id": features["user_id"].astype("str"),
            "as_of": features["as_of"],
            "window_days": features["window_days"].astype("Int64"),
            "history_days": features["history_days"].astype("Int64"),
            "persona": pd.Series(persona, index=index, dtype="str"),
            "priority": pd.Series([verdict[1] for verdict in verdicts], index=index, dtype=float),
            "confidence": pd.Series(np.round(confidence, 4), index=index, dtype=float),
            "is_fallback": pd.Series(fallback, index=index, dtype="boolean"),
            "matched": pd.Series([json.dumps(verdict[2]) for verdict in verdicts], index=index, dtype="str"),
            "reasons": pd.Series(_reasons(features, rules, values, thresholds, met), index=index, dtype="str"),
            "rules_version": pd.Series(rules_version(rules), index=index, dtype="str"),
        }
    )


def verdict(reasons: str | Sequence[Mapping[str, Any]], version: str, rules: tuple[Rule, ...] = RULES) -> Verdict:
    """Recompute ``(persona, priority, matched, is_fallback)`` from the ``reasons`` of a stored row alone.

    Every criterion is compared anew from the recorded value and threshold; the recorded ``met`` is not
    believed. Raises ``UnreadableReasons`` when ``version`` or the recorded criteria are not those of
    ``rules``.
    """
    if version != rules_version(rules):
        raise UnreadableReasons(
            f"these reasons were recorded under {version}, this code has {rules_version(rules)}: "
            "recompute them with the release that recorded them"
        )
    recorded: Sequence[Mapping[str, Any]] = json.loads(reasons) if isinstance(reasons, str) else reasons
    criteria = [(f"{rule.persona}.{rule.clause}", rule.signal, rule.operator) for rule in rules]
    if [(reason["clause"], reason["signal"], reason["operator"]) for reason in recorded] != criteria:
        raise UnreadableReasons(f"the recorded criteria are not those of {version}, in their order")
    met = [np.array([r["value"] is not None and _COMPARE[r["operator"]](r["value"], r["threshold"])]) for r in recorded]
    return _best(rules, _priorities(rules, met))[0]


def followed(personas_30d: pd.DataFrame, personas_180d: pd.DataFrame) -> pd.DataFrame:
    """The assignment that drafts follow: the 30-day one, or the 180-day one when that is a fallback.

    One row per customer of ``personas_30d``, in its order, columns as they are. A customer without a 180-day
    row keeps the 30-day one.
    """
    longer = personas_180d[personas_180d["user_id"].isin(personas_30d.loc[personas_30d["is_fallback"], "user_id"])]
    kept = personas_30d[~personas_30d["user_id"].isin(longer["user_id"])]
    chosen = pd.concat([kept, longer]).set_index("user_id", drop=False).loc[personas_30d["user_id"]]
    return chosen.reset_index(drop=True)


def _values(signal: pd.Series) -> npt.NDArray[np.float64]:
    """The signal as floats, flags as 0 and 1, unknown as NaN."""
    values = signal.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(values), np.round(values, _DECIMALS), np.nan)


def _thresholds(features: pd.DataFrame, rules: tuple[Rule, ...]) -> list[npt.NDArray[np.float64]]:
    """Each rule's threshold for each row, scaled by window and currency where the rule says so."""
    one = np.ones(len(features))
    months = features["window_days"].to_numpy(dtype=float) / 30
    factor = features["currency_factor"].to_numpy(dtype=float)
    return [
        np.round(
            float(rule.threshold) * (months if rule.per_month else one) * (factor if rule.money else one),
            _DECIMALS,
        )
        for rule in rules
    ]


def _clauses(rules: tuple[Rule, ...]) -> dict[str, dict[str, list[int]]]:
    """Persona → clause → positions of its alternatives, in table order."""
    clauses: dict[str, dict[str, list[int]]] = {}
    for position, rule in enumerate(rules):
        clauses.setdefault(rule.persona, {}).setdefault(rule.clause, []).append(position)
    return clauses


def _priorities(rules: tuple[Rule, ...], met: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.float64]:
    """Priority by row and persona, NaN where the persona does not match."""
    columns = []
    for clauses in _clauses(rules).values():
        matches = np.logical_and.reduce(
            [np.logical_or.reduce([met[p] for p in alternatives]) for alternatives in clauses.values()]
        )
        positions = [p for alternatives in clauses.values() for p in alternatives]
        highest = np.max([np.where(met[p], rules[p].priority, 0.0) for p in positions], axis=0)
        columns.append(np.where(matches, highest, np.nan))
    return np.column_stack(columns)


def _margins(
    rules: tuple[Rule, ...],
    values: Mapping[str, npt.NDArray[np.float64]],
    thresholds: Sequence[npt.NDArray[np.float64]],
    met: Sequence[npt.NDArray[np.bool_]],
) -> npt.NDArray[np.float64]:
    """Margin by row and persona, as ``assign_personas`` defines it; 0 where the persona does not match."""
    single = []
    for rule, threshold, holds in zip(rules, thresholds, met, strict=True):
        if rule.operator == "==":
            single.append(np.where(holds, 1.0, 0.0))
            continue
        scale = np.where(threshold == 0, 1.0, np.abs(threshold))
        distance = np.where(threshold == 0, 1.0, np.abs(values[rule.signal] - threshold) / scale)
        single.append(np.where(holds, np.clip(distance, 0, 1), 0.0))
    return np.column_stack(
        [
            np.min(
                [np.max([single[p] for p in alternatives], axis=0) for alternatives in clauses.values()],
                axis=0,
            )
            for clauses in _clauses(rules).values()
        ]
    )


def _best(rules: tuple[Rule, ...], priorities: npt.NDArray[np.float64]) -> list[Verdict]:
    """The verdict of each row; a stable sort keeps equal priorities in table order."""
    names = list(_clauses(rules))
    seen: dict[bytes, Verdict] = {}
    verdicts = []
    for row in priorities:
        combination = row.tobytes()
        if combination not in seen:
            found = [(float(priority), name) for priority, name in zip(row, names, strict=True) if priority == priority]
            found.sort(key=lambda match: -match[0])
            matched = [name for _, name in found]
            seen[combination] = (matched[0], found[0][0], matched, False) if found else (FALLBACK, None, [], True)
        verdicts.append(seen[combination])
    return verdicts


def _reasons(
    features: pd.DataFrame,
    rules: tuple[Rule, ...],
    values: Mapping[str, npt.NDArray[np.float64]],
    thresholds: Sequence[npt.NDArray[np.float64]],
    met: Sequence[npt.NDArray[np.bool_]],
) -> list[str]:
    """The JSON list of every criterion of every persona, one string per row.

    Written column by column: a criterion is one text per row, and the rows join them at the end. A
    ``json.dumps`` of twenty dicts per customer takes most of the assignment's time.
    """
    written = {signal: _json(values[signal], features[signal].dtype) for signal in values}
    columns = []
    for rule, threshold, holds in zip(rules, thresholds, met, strict=True):
        head = json.dumps({"clause": f"{rule.persona}.{rule.clause}", "signal": rule.signal})[:-1]
        # thresholds and verdicts are few: their text is written once for each pair of them
        pairs = list(zip(threshold.tolist(), holds.tolist(), strict=True))
        tails = {
            (limit, hold): json.dumps({"operator": rule.operator, "threshold": _number(limit, rule), "met": hold})[1:]
            for limit, hold in set(pairs)
        }
        columns.append(
            [
                f'{head}, "value": {value}, {tails[pair]}'
                for value, pair in zip(written[rule.signal], pairs, strict=True)
            ]
        )
    return [f"[{', '.join(row)}]" for row in zip(*columns, strict=True)]


def _number(threshold: float, rule: Rule) -> float | int | bool:
    """A threshold as it is written: a flag for flags, a whole number without a point."""
    if isinstance(rule.threshold, bool):
        return rule.threshold
    return int(threshold) if threshold.is_integer() else threshold


def _json(values: npt.NDArray[np.float64], dtype: Any = None) -> list[str]:
    """Each value as JSON: flags as booleans, whole numbers without a point, unknown as null."""
    if pd.api.types.is_bool_dtype(dtype):
        return ["null" if v != v else "true" if v else "false" for v in values.tolist()]
    return ["null" if v != v else str(int(v)) if v.is_integer() else repr(v) for v in values.tolist()]

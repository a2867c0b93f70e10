#!/usr/bin/env python3
"""Writes tests/fixtures/statistics.json: a small table with the statistics that numpy, pandas and SciPy compute from it.

    scripts/test-tables PROGRAM                                       compares the file with what they compute
    .venv-tables/bin/python scripts/make_statistics_fixture.py         writes it, in the environment that scripts/test-tables makes
    .venv-tables/bin/python scripts/make_statistics_fixture.py --check

Needs numpy, pandas and scipy (scripts/requirements-tables.txt). The Rust tests of src/table/statistics compare with the file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas
from scipy import stats

OUT = Path(__file__).resolve().parent.parent / "tests/fixtures/statistics.json"
SAMPLES, LAYERS, HEADS = 40, [3, 7], 4


def numbers(values: np.ndarray) -> list[float | None]:
    """JSON has no NaN."""
    return [None if np.isnan(value) else float(value) for value in np.ravel(values)]


def make_rows(draw: np.random.Generator) -> pandas.DataFrame:
    """Rows of a heads table: one to four tokens a sample, shares of 0–1, some missing."""
    rows = []
    for sample in range(SAMPLES):
        for token in range(int(draw.integers(1, 5))):
            for layer in LAYERS:
                for head in range(HEADS):
                    value = 0.3 + 0.1 * head + 0.02 * layer + 0.05 * (sample % 3 == 0) * (head == 2) + draw.normal(0, 0.04)
                    missing = draw.random() < 0.1 or (sample == 5 and head == 1)
                    value = np.nan if missing else float(np.float32(value))
                    rows.append((sample, token, layer, head, value))
    return pandas.DataFrame(rows, columns=["sample", "token", "layer", "head", "value"])


def differences(found: object, wanted: object, place: str) -> list[str]:
    """The places where two fixtures differ by more than rounding."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        return [line for name in found for line in differences(found[name], wanted[name], f"{place}.{name}")]
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [line for at, pair in enumerate(zip(found, wanted, strict=True)) for line in differences(*pair, f"{place}[{at}]")]
    if isinstance(found, float) and isinstance(wanted, float) and math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-300):
        return []
    return [] if found == wanted else [f"{place}: {found} is not {wanted}"]


def make_fixture() -> dict:
    draw = np.random.default_rng(20)
    rows = make_rows(draw)
    means = rows.groupby(["sample", "layer", "head"]).value.mean().unstack(["layer", "head"]).to_numpy()
    first = np.array([sample % 3 == 0 for sample in range(SAMPLES)])
    welch = stats.ttest_ind(means[first], means[~first], equal_var=False, nan_policy="omit", axis=0)
    interval = welch.confidence_interval(0.95)
    # The second table: the same samples in the reverse order with other numbers.
    other = means + draw.normal(0.01, 0.02, means.shape)
    other = other.astype(np.float32).astype(float)
    pairs = stats.ttest_rel(means, other, nan_policy="omit", axis=0)
    pair_interval = pairs.confidence_interval(0.95)
    score = np.round(draw.normal(0, 1, SAMPLES) + first, 1)
    score[7] = np.nan
    scored = ~np.isnan(score)
    u = stats.mannwhitneyu(score[first & scored], score[~first & scored]).statistic
    many = np.concatenate([draw.random(30), draw.random(10) * 0.01])
    corrected = stats.false_discovery_control(many)
    return {
        "samples": SAMPLES,
        "layers": LAYERS,
        "heads": HEADS,
        "rows": {name: rows[name].tolist() for name in ["sample", "token", "layer", "head"]} | {"value": numbers(rows.value.to_numpy())},
        "means": numbers(means),
        "first": first.tolist(),
        "group_n": [int(n) for n in (~np.isnan(means[first])).sum(0)],
        "group_mean": numbers(np.nanmean(means[first], 0)),
        "group_deviation": numbers(np.nanstd(means[first], 0, ddof=1)),
        "welch_p": numbers(welch.pvalue),
        "welch_low": numbers(interval.low),
        "welch_high": numbers(interval.high),
        "other": numbers(other),
        "pairs_p": numbers(pairs.pvalue),
        "pairs_low": numbers(pair_interval.low),
        "pairs_high": numbers(pair_interval.high),
        "score": numbers(score),
        "auc": float(u / ((first & scored).sum() * (~first & scored).sum())),
        "p": many.tolist(),
        "corrected": corrected.tolist(),
        # Two-sided p-value and half width of the interval in standard errors, by t and degrees of freedom.
        "student": [
            [t, freedom, float(2 * stats.t.sf(t, freedom)), float(stats.t.ppf(0.975, freedom))]
            for freedom in [1.0, 2.5, 9.7, 54.0, 1998.3, 250000.0]
            for t in [0.01, 0.7, 2.0, 6.0, 30.0]
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Statistics of a small table by numpy, pandas and SciPy.")
    parser.add_argument("--check", action="store_true", help="compare the file with the numbers, do not write it")
    fixture = make_fixture()
    if parser.parse_args().check:
        lines = differences(json.loads(json.dumps(fixture)), json.loads(OUT.read_text()), "")
        sys.exit("\n".join([f"{OUT} differs from what is computed:", *lines[:20]]) if lines else None)
    OUT.write_text(json.dumps(fixture) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()

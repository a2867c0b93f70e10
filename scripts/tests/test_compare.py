"""The comparison of derived fixtures with the committed ones."""

import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))

from fixtures import compare  # noqa: E402


def _problems(folder: Path, old: list[float], new: list[float]) -> list[str]:
    for name, values in (("old", old), ("new", new)):
        (folder / name).mkdir(exist_ok=True)
        save_file({"a": np.array(values, np.float32)}, folder / name / "x.safetensors")
    return compare.folders(folder / "old", folder / "new", "parity")


def test_rounding_of_large_terms_is_no_difference(tmp_path):
    assert not _problems(tmp_path, [204.0, 1e-3], [204.0, 1.1e-3])


def test_a_change_is_found_beside_large_and_infinite_numbers(tmp_path):
    assert _problems(tmp_path, [204.0, 1e-3], [204.0, 2e-3])
    assert _problems(tmp_path, [1.0, 0.5], [1.0, 0.5002])
    assert _problems(tmp_path, [np.inf, 0.5], [np.inf, 0.6])
    assert not _problems(tmp_path, [np.inf, 0.5], [np.inf, 0.5])

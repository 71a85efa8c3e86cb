"""Every example runs as a script, and so does what the README shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = {"quickstart", "fashion_modes"}
GALLERY = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem not in SCRIPTS)


def run(arguments, folder):
    """Run Python in a folder, without a display, and return what it printed.

    On one thread, because small matrices gain nothing from more, and lose a lot where cores are
    shared.
    """
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def accuracies(output):
    """Map each name in the quickstart's report to its accuracy."""
    return {name: float(value) for name, value in re.findall(r"^(\S+) +ACC (\S+)", output, re.M)}


@pytest.mark.slow
@pytest.mark.parametrize("example", GALLERY, ids=lambda path: path.name)
def test_the_example_runs(example, tmp_path):
    run([example], tmp_path)


@pytest.mark.slow
def test_the_quickstart_beats_kmeans_and_draws(tmp_path):
    accuracy = accuracies(run([ROOT / "examples/quickstart.py"], tmp_path))
    assert accuracy["AutoencoderClustering"] > accuracy["k-means"]
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


def test_the_fashion_script_draws_what_clusters_generate(tmp_path, monkeypatch):
    pixels = np.random.RandomState(0).randint(256, size=(120, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "fashion_mnist.npz", X=pixels, y=np.arange(120) % 10, n_train=60)
    monkeypatch.setenv("SKDEEPCLUSTER_DATA", str(tmp_path))
    output = run([ROOT / "examples/fashion_modes.py", "--epochs", "4", "--clusters", "2"], tmp_path)
    assert output.count("accuracy") == 3
    assert (tmp_path / "fashion_modes.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_code_in_the_readme_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    output = run(["-c", code + "\nprint(search.best_params_, len(labels))"], tmp_path)
    assert "autoencoderclustering__lr" in output
    assert "1797" in output

"""What a report of an error is asked to hold."""

import sys
from importlib.metadata import version

import skdeepcluster
from skdeepcluster import versions


def test_it_prints_what_is_installed(capsys):
    skdeepcluster.show_versions()
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert told["python"].startswith(sys.version.split()[0])
    assert told["skdeepcluster"] == version("skdeepcluster")
    assert told["torch"] == version("torch")
    assert {"GPU", "threads", "system", "umap-learn"} <= set(told)


def test_what_is_missing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(versions, "LIBRARIES", ["no-such-library"])
    versions.show_versions()
    assert "no-such-library not installed" in capsys.readouterr().out

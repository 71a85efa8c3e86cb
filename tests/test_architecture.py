"""Imports go one way, slow libraries wait until they are used, and nobody reaches into skorch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skdeepcluster

ROOT = Path(skdeepcluster.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# The rooms of the package and what each may import of it.
LEAVES = {"datasets", "heads", "metrics", "neighbors", "networks", "objectives", "priors"}
LEAVES |= {"isolation", "plotting", "scaling", "validation"}
PARTS = {"engine", "heads", "neighbors", "networks", "objectives", "priors"}
PARTS |= {"scaling", "validation"}
ALLOWED = {
    **{leaf: set() for leaf in LEAVES},
    "heads": {"isolation"},
    "plotting": {"isolation"},
    "engine": set(),
    "base": PARTS,
    "estimators": PARTS | {"base"},
    "__init__": {"estimators"},
}
SLOW = {"hdbscan", "matplotlib", "numba", "pandas", "polars", "umap"}


def room(source):
    return source.relative_to(ROOT).parts[0].removesuffix(".py")


def absolute(node, source):
    """The dotted name of the module that `from X import ...` means, relative or not."""
    if not node.level:
        return node.module
    package = (ROOT.name, *source.relative_to(ROOT).parent.parts)
    base = package[: len(package) - node.level + 1]
    return ".".join(base + ((node.module,) if node.module else ()))


def imported(nodes, source):
    """Dotted names of everything that the import statements among `nodes` bring in."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{absolute(node, source)}.{alias.name}" for alias in node.names)


def run_at_import(tree):
    """Nodes outside functions and outside `if TYPE_CHECKING`: what an import of the file runs."""
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing_only and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from run_at_import(node)


def rooms_imported(tree, source):
    names = (name.split(".") for name in imported(ast.walk(tree), source))
    return {name[1] for name in names if name[0] == ROOT.name and len(name) > 1}


def private_names_of(library, tree, source):
    """Underscored modules and names that `source` imports from `library`."""
    for name in imported(ast.walk(tree), source):
        head, *rest = name.split(".")
        if head == library and any(part.startswith("_") for part in rest):
            yield name


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEverySource:
    @pytest.fixture
    def tree(self, source):
        return ast.parse(source.read_text(encoding="utf-8"))

    def test_it_imports_only_the_rooms_below_its_own(self, source, tree):
        assert room(source) in ALLOWED, "a new room: say in ALLOWED what it may import"
        allowed = ALLOWED[room(source)] | {room(source)}
        assert rooms_imported(tree, source) <= allowed

    def test_it_leaves_slow_libraries_until_they_are_used(self, source, tree):
        heads = {name.split(".")[0] for name in imported(run_at_import(tree), source)}
        assert not heads & SLOW

    def test_only_the_net_knows_the_private_names_of_skorch(self, source, tree):
        if source.relative_to(ROOT) != Path("engine", "net.py"):
            assert not list(private_names_of("skorch", tree, source))


def test_the_walk_sees_what_it_must_refuse():
    """The helpers above on a file that breaks every rule."""
    source = ROOT / "engine" / "bad.py"
    tree = ast.parse(
        "import umap.umap_ as u\n"
        "from ..estimators import dec\n"
        "from .. import base\n"
        "from skdeepcluster.heads import KMeansHead\n"
        "from skorch.callbacks._private import x\n"
        "try:\n    import pandas\nexcept ImportError:\n    pass\n"
        "def later():\n    import hdbscan\n"
        "if TYPE_CHECKING:\n    import matplotlib\n"
    )
    assert rooms_imported(tree, source) == {"estimators", "base", "heads"}
    names = set(imported(run_at_import(tree), source))
    assert {name.split(".")[0] for name in names} & SLOW == {"umap", "pandas"}
    assert list(private_names_of("skorch", tree, source)) == ["skorch.callbacks._private.x"]


def test_importing_the_package_imports_no_slow_library():
    # scikit-learn imports pandas itself where it is installed; what counts is what we add.
    code = (
        "import sys, sklearn.utils.fixes, skorch, torch; before = set(sys.modules)\n"
        "import skdeepcluster; print(*set(sys.modules) - before)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    added = set(result.stdout.split())
    assert "skdeepcluster" in added
    assert not added & SLOW

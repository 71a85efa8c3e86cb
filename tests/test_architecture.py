"""Imports go one way, slow libraries wait until they are used, and nobody reaches into skorch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skdeepcluster

ROOT = Path(skdeepcluster.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# The rooms of the package and what each may import of it, by type as well.
LEAVES = {"augment", "datasets", "files", "_isolation", "metrics", "neighbors", "networks"}
LEAVES |= {"objectives", "priors", "scaling", "sources", "_tiles", "_validation", "versions"}
PARTS = {"engine", "heads", "neighbors", "networks", "objectives", "priors", "scaling"}
ALLOWED = {
    **{leaf: set() for leaf in LEAVES},
    "heads": {"_isolation", "metrics", "_tiles"},
    "model_selection": {"metrics"},
    "plotting": {"inspection", "_isolation", "model_selection"},
    "features": {"engine", "_validation"},
    "inspection": {"_validation"},
    "engine": {"files", "sources", "_tiles"},
    "models": PARTS,
    "base": PARTS | {"augment", "files", "metrics", "models", "sources", "_tiles", "_validation"},
    "estimators": PARTS | {"augment", "base", "models", "_validation"},
    "__init__": {"base", "estimators", "versions"},
}
SLOW = {"PIL", "dask", "h5py", "hdbscan", "matplotlib", "numba", "pandas", "polars", "pyarrow"}
SLOW |= {"umap", "zarr"}


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


def module_of(source):
    parts = source.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files_imported():
    """The files that every file imports, also where that is for types alone."""
    modules = {module_of(source): source for source in SOURCES}
    graph = {}
    for module, source in modules.items():
        names = list(imported(ast.walk(ast.parse(source.read_text(encoding="utf-8"))), source))
        found = {name if name in modules else name.rpartition(".")[0] for name in names}
        graph[module] = {name for name in found if name in modules} - {module}
    return graph


def circles(graph):
    """What is left when all that imports nothing of the rest is taken away, again and again."""
    while free := {module for module, found in graph.items() if not found & graph.keys()}:
        graph = {module: found for module, found in graph.items() if module not in free}
    return graph


def test_no_file_imports_itself_by_way_of_others():
    assert not circles(files_imported())
    assert circles({"a": {"b"}, "b": {"a", "c"}, "c": set()}) == {"a": {"b"}, "b": {"a", "c"}}


def test_a_method_is_one_public_file():
    files = {source.stem for source in SOURCES if room(source) == "estimators"}
    assert not {name for name in files if name.startswith("_")} - {"__init__"}


def test_files_and_functions_are_short():
    for source in SOURCES:
        assert len(source.read_text(encoding="utf-8").splitlines()) < 400, source
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = [part for part in node.body if not _is_docstring(part)]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines <= 50, f"{source.name}: {node.name}"


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_strings_name_methods_of_models_in_turns_alone():
    """A method that a string names cannot be followed by a reader or a tool."""
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("module_", "model")):
                strings = [arg for arg in node.args if isinstance(arg, ast.Constant)]
                assert not strings, f"{source.name}: {ast.unparse(node)}"


def test_tests_mirror_the_tree():
    """Every room has its tests in the folder, or the file, of its name."""
    tests = Path(__file__).parent
    rooms = {room(source) for source in SOURCES} - {"__init__"}
    folders = {path.name for path in tests.iterdir()}
    missing = {name for name in rooms if not {name, f"test_{name.strip('_')}.py"} & folders}
    assert not missing


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

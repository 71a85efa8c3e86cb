"""Sphinx configuration.

``python -m sphinx -W -b html docs docs/_build/html`` builds the pages without running the gallery;
with ``SKDEEPCLUSTER_GALLERY=1`` in the environment its examples are run and their figures shown.
"""

import os
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import skdeepcluster

sys.path.insert(0, str(Path(__file__).parent))
import benchmark_pictures
import figures

project = "skdeepcluster"
author = "skdeepcluster developers"
project_copyright = f"2026, {author}"
version = release = installed_version(project)

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst", "gallery/*.ipynb", "gallery/*.py"]
default_role = "literal"
math_number_all = False
math_eqref_format = "eq. {number}"

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",  # scripts, shown on other pages
    "plot_gallery": os.environ.get("SKDEEPCLUSTER_GALLERY", "0") == "1",
    "download_all_examples": False,
    "show_memory": False,
}

# The inventories of others are fetched where there is a network, as where the pages are published;
# elsewhere links to others' classes are plain text.
if os.environ.get("SKDEEPCLUSTER_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_title = f"{project} {version}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {
    "index": [],
    "how_it_works": [],
    "faq": [],
    "glossary": [],
    "versions": [],
    "generated/release_notes": [],
    "getting_started": [],
    "architecture": [],
    "adding_a_method": [],
    "benchmarks/index": [],
}


def write_estimators():
    """List the public estimators in a page, before Sphinx looks for pages."""
    page = Path(__file__).with_name("generated") / "estimators.rst"
    names = "\n".join(f"   {name}" for name in skdeepcluster.__all__)
    text = f"""Estimators
==========

.. currentmodule:: skdeepcluster

.. autosummary::
   :toctree: .
   :nosignatures:

{names}
"""
    page.parent.mkdir(exist_ok=True)
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def write_release_notes():
    """Turn CHANGELOG.md into a page: its headings and links are all that differs."""
    text = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
    text = re.sub(r"\[([^]]+)\]\((http[^)]+)\)", r"`\1 <\2>`__", text)
    text = re.sub(r"^(- .*(?:\n  (?!- ).*)*)\n(?=  - )", r"\1\n\n", text, flags=re.M)  # inner lists
    text = re.sub(r"^((?:  - .*|    .*)(?:\n    .*)*)\n(?=- )", r"\1\n\n", text, flags=re.M)
    text = re.sub(r"^(#+) \[?(.+?)\]?$", _underlined, text, flags=re.M)
    page = Path(__file__).with_name("generated") / "release_notes.rst"
    if not page.exists() or page.read_text(encoding="utf-8") != text:
        page.write_text(text, encoding="utf-8")


def _underlined(heading):
    title = "Release notes" if heading[1] == "#" else heading[2]
    return f"{title}\n{'=-~'[len(heading[1]) - 1] * len(title)}"


write_estimators()
write_release_notes()
GENERATED = Path(__file__).with_name("generated")
figures.draw_all(GENERATED / "figures")
benchmark_pictures.write_all(Path(__file__).with_name("benchmarks"), GENERATED / "benchmarks")


def escape_shapes(app, what, name, obj, options, lines):
    """Keep reST from reading markup into shapes such as (n_clusters_, d)."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(
            r"of shape \(.*\)",
            lambda shape: re.sub(r"_(?=\W)|(?<!\\)\*", r"\\\g<0>", shape[0]),
            line,
        )


def setup(app):
    """Run before numpydoc, which would otherwise have turned the shapes into markup."""
    app.connect("autodoc-process-docstring", escape_shapes, priority=1)

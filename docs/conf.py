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

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_title = f"{project} {version}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {
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


write_estimators()
figures.draw_all(Path(__file__).with_name("generated") / "figures")


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

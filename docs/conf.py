"""Build the documentation: ``python -m sphinx -W -b html docs docs/_build/html``."""

import warnings

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml

import sklearn_beira

project = "sklearn-beira"
author = "the sklearn-beira developers"
copyright = "2026, the sklearn-beira developers"
release = sklearn_beira.__version__
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "images"]
html_theme = "furo"
html_title = "sklearn-beira"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
templates_path = ["_templates"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# The README is a page of the repository as well, with links that only hold there.
suppress_warnings = ["myst.header", "myst.xref_missing"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "FileNameSortKey",
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "doc_module": ("sklearn_beira",),
    "backreferences_dir": None,
}
# A figure that was drawn is shown by sphinx-gallery; the backend has no window to show it in.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def setup(app):
    """Write formulas as MathML, which browsers draw themselves, also without a network."""

    def draw(as_block):
        def visit(translator, node):
            translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=as_block))
            raise SkipNode

        return visit, None

    app.add_html_math_renderer("mathml", draw(False), draw(True))

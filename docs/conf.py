"""Build the documentation: ``python -m sphinx -W -b html docs docs/_build/html``.

With ``SKLEARN_BEIRA_INTERSPHINX=1`` in the environment, names of other packages link to their
documentation. The build then needs a network.
"""

import os
import warnings

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml
from sphinx_gallery.sorting import ExplicitOrder

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
    "sphinx.ext.intersphinx",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "images"]
html_theme = "furo"
html_title = f"sklearn-beira {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_math_renderer = "mathml"
templates_path = ["_templates"]
# Messages and options are quoted as they are: no curly quotes, no dash for two hyphens.
smartquotes = False

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
# The changelog and the benchmarks are files of the repository as well, with links of their own.
suppress_warnings = ["myst.header", "myst.xref_missing"]

intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "scipy": ("https://docs.scipy.org/doc/scipy", None),
    "pandas": ("https://pandas.pydata.org/docs", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
    "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    "torch": ("https://docs.pytorch.org/docs/stable", None),
    "mne": ("https://mne.tools/stable", None),
    "nilearn": ("https://nilearn.github.io/stable", None),
}
# Without a network, each inventory that cannot be fetched would be a warning, which -W refuses.
if os.environ.get("SKLEARN_BEIRA_INTERSPHINX") != "1":
    intersphinx_mapping = {}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    # From first steps to judging and reading a model, then other data; the numbers only name files.
    "within_subsection_order": ExplicitOrder(
        [
            "plot_0_quickstart.py",
            "plot_1_your_own_files.py",
            "plot_2_grid_search_delay.py",
            "plot_6_baselines.py",
            "plot_8_reading_the_branches.py",
            "plot_5_is_it_real.py",
            "plot_4_leakage_trap.py",
            "plot_9_runs_and_subjects.py",
            "plot_10_nifti_to_nifti.py",
            "plot_12_brain_map.py",
            "plot_11_your_own_network.py",
            "plot_3_semireal.py",
            "plot_7_ds003574.py",
            "*",
        ]
    ),
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    # Which examples use a name: its page in the API shows them (_templates/autosummary).
    "doc_module": ("sklearn_beira",),
    "backreferences_dir": "generated/backreferences",
    "inspect_global_variables": False,
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

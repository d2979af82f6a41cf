"""The documentation site: ``sphinx-build -W --keep-going docs build/site``."""

from __future__ import annotations

import sys
from pathlib import Path

import cylstm

sys.path.insert(0, str(Path(__file__).parent))  # for figures

project = "cylstm"
author = "the cylstm developers"
copyright = author
release = version = cylstm.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
highlight_language = "none"
templates_path = ["_templates"]
exclude_patterns = ["lessons", "tutorial/index.rst", "**sg_execution_times.rst"]

# What a role names has to be there. A name in single backticks may also be an argument.
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]

# --- Markdown ---
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# --- the API, from docstrings ---
default_role = "autolink"  # a name in single backticks is a link where there is such a thing
autosummary_generate = True
autodoc_typehints = "none"  # docstrings have the types, with shapes
numpydoc_show_class_members = False  # the templates list them
numpydoc_xref_param_type = False

# --- the tutorial, run while the site is built ---
sphinx_gallery_conf = {
    "examples_dirs": "lessons",
    "gallery_dirs": "tutorial",
    "filename_pattern": r"\.py$",
    "image_scrapers": ("figures.scrape",),
    "reset_modules": ("figures.use_style",),
    "capture_repr": (),  # what is printed is shown, and nothing else
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "min_reported_time": 60,
}

# --- the pages ---
html_theme = "pydata_sphinx_theme"
html_title = f"cylstm {release}"
html_static_path = ["_static"]
html_css_files = ["cylstm.css"]
html_sidebars = {  # pages without others below them
    page: []
    for page in (
        "index",
        "tutorial/**",
        "performance",
        "design",
        "versions",
        "changelog",
    )
}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "cylstm"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    # not beside what is wide; the last pattern that fits counts
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "performance": [],
        "api/c": [],
    },
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

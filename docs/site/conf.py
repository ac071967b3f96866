"""How the pages become a site; `docs/site/build.py` brings them together and calls Sphinx with this."""

project = "conspectus"
author = "The conspectus developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
root_doc = "index"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # code of pages and notebooks runs in the tests, on measured data

autosummary_generate = True
autodoc_typehints = "none"  # docstrings say what each parameter is
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "conspectus"
html_static_path = ["_static"]
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}

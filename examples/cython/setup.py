"""An extension that calls cylstm in C: it needs the headers, and no library to link with."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import cylstm

setup(
    ext_modules=cythonize(
        Extension("series_scores", ["series_scores.pyx"], include_dirs=[cylstm.get_include()]),
        # Cython looks on sys.path, where an editable install of cylstm is not.
        include_path=[str(Path(cylstm.__file__).parents[1])],
        compiler_directives={"language_level": 3},
    )
)

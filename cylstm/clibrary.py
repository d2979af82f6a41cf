"""Where the C library is that comes with the package: cylstm.h, a static and a shared library.

    cc program.c $(cylstm config --cflags --libs)

On Linux the shared library is ``libcylstm.so.0.1``, which is also what programs look for when they
start: another minor version is another library until there is a version 1. ``libcylstm.so`` is a
line for the linker that names it, since a wheel cannot hold a link.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def get_include() -> str:
    """Return the folder of ``cylstm.h``, and of ``cylstm_import.h`` for extensions of Python.

    Returns
    -------
    str
        To give to a C compiler with ``-I``, or as an ``include_dirs`` of an ``Extension``.

    See Also
    --------
    get_library_dir : The folder of the libraries.

    Examples
    --------
    >>> import os
    >>> import cylstm
    >>> sorted(os.listdir(cylstm.get_include()))
    ['cylstm.h', 'cylstm_import.h']
    """
    return str(_PACKAGE / "include")


def get_library_dir() -> str:
    """Return the folder of the C library, static and shared.

    It holds ``pkgconfig`` and ``cmake`` too, by which pkg-config and CMake find the library.
    ``cylstm config`` prints whole command lines.

    Returns
    -------
    str
        To give to a linker with ``-L``, and with ``-Wl,-rpath,`` for programs to find the shared
        library when they start.

    See Also
    --------
    get_include : The folder of the headers.

    Examples
    --------
    >>> import os
    >>> import cylstm
    >>> {"cmake", "pkgconfig"} < set(os.listdir(cylstm.get_library_dir()))
    True
    """
    return str(_PACKAGE / "lib")

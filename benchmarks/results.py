"""The JSON file of a run, which holds all that was measured so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cylstm.atomic import write_file


class Results:
    """Everything measured, in memory and, where a file is named, on disk after every row.

    Attributes
    ----------
    document : dict
        By part.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.document: dict[str, Any] = {}
        self._file = file

    def put(self, part: str, value: Any) -> None:
        """Set or replace a part; the file is whole at any moment, whatever stops the run."""
        self.document[part] = value
        if self._file is None:
            return
        write_file(self._file, (json.dumps(self.document, indent=1) + "\n").encode())

"""The documentation is true: its Python runs, and its API and commands are the package's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_readme import README, python_blocks

import cylstm

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if python_blocks(page.read_text("utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(page, tmp_path, monkeypatch):
    """From top to bottom, as a reader types it."""
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(page.read_text("utf-8"))
    if any("import torch" in block for block in blocks):
        pytest.importorskip("torch")
    names = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
        for name, shown in re.findall(r"^(\w+)  # (\w+\(.*\))$", block, re.MULTILINE):
            assert repr(names[name]) == shown


def test_the_pages_that_run_are_those_with_code():
    assert {page.stem for page in PAGES} >= {"index", "training", "serving", "embedding", "pytorch"}


def test_the_api_names_everything():
    text = (DOCS / "api" / "index.rst").read_text("utf-8")
    tables = re.findall(r"autosummary::\n    :toctree: generated\n\n((?:    .*\n)+)", text)
    listed = {name for table in tables for name in table.split() if "." not in name}
    listed |= set(re.findall(r"^\.\. data:: (\w+)$", text, re.MULTILINE))
    assert listed == set(cylstm.__all__)


def test_the_start_page_has_the_commands_of_the_readme():
    page = (DOCS / "index.md").read_text("utf-8")
    commands = re.findall(r"^```sh\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE)
    assert len(commands) == 2
    assert " && ".join(commands) in README

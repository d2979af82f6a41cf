"""The README is true: its Python runs, its table is complete, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import cylstm
from cylstm.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def python_blocks(page: str) -> list[str]:
    """The Python of a page of Markdown."""
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


BLOCKS = python_blocks(README)


def run(block: str) -> dict:
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_the_model_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(BLOCKS[0])
    model, waves, labels = names["model"], names["waves"], names["labels"]
    assert len(names["history"]) == 20
    assert model.evaluate(waves[400:], labels[400:])["accuracy"] > 0.9
    assert f"# {model.predict(waves[400:403])}" in BLOCKS[0]
    assert names["scores"] == pytest.approx(model.scores(waves[400]), rel=1e-5)


def test_the_layer_example():
    names = run(BLOCKS[1])
    for name, shape in (("y", (100, 32, 128)), ("forget_gate", (100, 32, 64))):
        assert names[name].shape == shape
        assert str(shape) in BLOCKS[1]
    assert names["adam"].state_dict()["step"] == 1


def test_the_pytorch_example():
    torch = pytest.importorskip("torch")
    names = run(BLOCKS[2])
    for name, tensor in names["theirs"].state_dict().items():
        assert torch.equal(torch.from_numpy(names["ours"].parameters[name].copy()), tensor)


def command_lines(page: str) -> list[list[str]]:
    """The command lines of `cylstm` in a page of Markdown, but for those that print help."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["cylstm"] and "--help" not in words]


@pytest.mark.parametrize("page", ["README.md", "docs/guides/training.md"])
def test_the_command_lines_run_as_typed(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    commands = command_lines((Path(__file__).parents[1] / page).read_text(encoding="utf-8"))
    assert {words[0] for words in commands} >= {"sample", "train", "predict"}
    for words in commands:
        quickly = ["--epochs", "2", "--quiet"] if words[0] == "train" else []
        assert main([*words, *quickly]) == 0, capsys.readouterr().err


def test_no_block_is_forgotten():
    assert len(BLOCKS) == 3


def test_the_table_names_the_whole_interface():
    rows = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == set(cylstm.__all__) - {"__version__"}


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)(.*?)\)", README))
def test_links_lead_to_files(link):
    assert (Path(__file__).parents[1] / link).exists()

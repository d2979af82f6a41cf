"""The command line under stress: ends that come early, tables and model files of strangers."""

from __future__ import annotations

import copy
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("pandas")

import cylstm
from cylstm.cli import main, scoring, signals

SMALL = ["--epochs", "2", "--hidden-size", "4", "--quiet"]
ESCAPE = "\x1b[2J"
HIDDEN = "\u202e"  # turns the order of what follows


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys, restore_num_threads):
    """Run a command line in an empty folder: its status, what it prints and its error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def write_table(path: Path, labels=("up", "down"), rows=200, **names: str) -> Path:
    """Columns x, sky and shop, or other names for them; sky is one of the labels."""
    header = [names.get(name, name) for name in ("x", "sky", "shop")]
    cells = ([n * n % 17, labels[n // 3 % 2], f"shop {n % 2}"] for n in range(rows))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *cells])
    return path


# --- ends that come early ------------------------------------------------------------------------


def start_training(folder: Path, *options: str) -> subprocess.Popen:
    write_table(folder / "t.csv", rows=2000)
    command = [sys.executable, "-u", "-m", "cylstm", "train", "t.csv", "--target", "x", "-q"]
    return subprocess.Popen(
        [*command, "--task", "regression", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until_model(process: subprocess.Popen) -> None:
    while not process.stdout.readline().startswith("model"):
        pass


def test_a_model_is_saved_though_nobody_reads_what_is_printed(tmp_path):
    with start_training(tmp_path, "--epochs", "3") as process:
        read_until_model(process)
        process.stdout.close()
        assert process.stderr.read() == "cylstm: standard output is lost (Broken pipe); going on\n"
        assert process.wait(60) == 0
    assert "score" in cylstm.load(tmp_path / "model.safetensors").extras


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor in a shell")
def test_standard_output_may_be_closed_from_the_start(tmp_path):
    write_table(tmp_path / "t.csv")
    command = f"{sys.executable} -m cylstm train t.csv --target x {' '.join(SMALL)} >&-"
    done = subprocess.run(
        command, check=False, shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGTERM and SIGHUP")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_a_process_that_is_told_to_end_saves_its_model(tmp_path, number):
    endless = ["--epochs", "100000", "--patience", "100000", "--checkpoint", "run"]
    with start_training(tmp_path, *endless) as process:
        while not (tmp_path / "run").exists():
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + number, "")
    assert "interrupted after" in out
    assert "score" in cylstm.load(tmp_path / "model.safetensors").extras


@pytest.mark.skipif(os.name != "posix", reason="ignores SIGHUP")
def test_signals_that_are_ignored_stay_so_and_a_second_one_acts_as_before():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.getsignal(signal.SIGTERM)
    try:
        with signals.as_interrupts() as ending:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is before[1]
        assert ending.status == 143
    finally:
        signal.signal(signal.SIGHUP, before[0])
    assert signal.getsignal(signal.SIGTERM) is before[1]


def test_a_model_is_saved_before_it_is_judged(cli, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("killed meanwhile")

    monkeypatch.setattr(scoring, "score", fail)
    table = write_table(tmp_path / "t.csv")
    assert cli("train", table, "--target", "x", *SMALL)[0] == 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cli("predict", "model.safetensors", table, "-o", "out.csv")[0] == 0


def weights_of(path: str) -> bytes:
    return cylstm.load(path)._network.copy_vector().tobytes()


def test_training_goes_on_from_its_checkpoint(cli, tmp_path):
    table = write_table(tmp_path / "t.csv")
    once = ["train", table, "--target", "x", "--hidden-size", "4", "-q"]
    assert cli(*once, "--epochs", "4", "-o", "whole")[0] == 0
    assert cli(*once, "--epochs", "2", "--checkpoint", "run", "-o", "part")[0] == 0
    status, out, _ = cli(*once, "--epochs", "4", "--checkpoint", "run", "-o", "rest")
    assert (status, "resuming    from run" in out, "4 epochs" in out) == (0, True, True)
    assert weights_of("rest") == weights_of("whole") != weights_of("part")
    status, _, err = cli(*once, "--epochs", "5", "--checkpoint", "run", "--batch-size", "9")
    assert status == 2
    assert "batch_size, 32, got 9" in err


@pytest.mark.parametrize("path", ["t.csv", "model.safetensors", "no/where", "."])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(cli, tmp_path, path):
    write_table(tmp_path / "t.csv")
    status, out, err = cli("train", "t.csv", "--target", "x", "--checkpoint", path)
    assert (status, out) == (2, "")
    assert f"{path}: cannot write the output" in err


# --- what strangers write ------------------------------------------------------------------------


def test_no_control_character_reaches_the_terminal(cli, tmp_path):
    odd = f"a{ESCAPE}b{HIDDEN}"
    names = {"x": f"x{odd}", "sky": f"sky{odd}", "shop": f"shop{odd}"}
    table = write_table(tmp_path / f"t{odd}.csv", (f"up{odd}", f"down{odd}"), **names)
    commands = [
        ("train", table, "--target", names["sky"], "--task", "classification", *SMALL),
        ("info", "model.safetensors"),
        ("predict", "model.safetensors", table, "-o", f"out{odd}.csv"),
        ("export-c", "model.safetensors", "-o", f"out{odd}.c"),
        ("train", table, "--target", f"no{odd}"),
        ("predict", "model.safetensors", f"no{odd}.csv", "-o", "out.csv"),
        ("train", table, "--target", names["sky"]),
        ("info", "--json", "model.safetensors"),
    ]
    for command in commands:
        _, out, err = cli(*command)
        assert out + err
        assert not {"\x1b", HIDDEN} & set(out + err), command
        assert "\\x1b[2J" in out + err or "u001b" in out, command


def test_a_cell_of_many_megabytes_makes_no_such_error(cli, tmp_path):
    table = write_table(tmp_path / "t.csv")
    text = table.read_text().replace("\n4,", f"\n{'y' * 3_000_000},", 1)
    table.write_text(text)
    status, out, err = cli("train", table, "--target", "x", *SMALL)
    assert (status, len(out) + len(err) < 3000) == (2, True)
    table = write_table(tmp_path / "t.csv", ("up", "z" * 3_000_000), rows=60)
    status, out, err = cli("train", table, "--target", "sky", *SMALL)
    assert (status, len(out) + len(err) < 3000) == (2, True)


def test_a_long_error_is_cut(cli):
    status, out, err = cli("info", "x" * 5000)
    assert (status, out, len(err) < 1100) == (1, "", True)
    assert err.endswith("File name too long\n")


def read_column(path: str, name: str) -> set[str]:
    with open(path, newline="") as file:
        return {row[name] for row in csv.DictReader(file)} - {""}


def test_labels_that_are_formulas_are_said_and_can_be_escaped(cli, tmp_path):
    labels = ("=1+1", "-3")
    table = write_table(tmp_path / "t.csv", labels)
    names = ["--target", "sky", "--task", "classification", "--window", "6", "--epochs", "30", "-q"]
    assert cli("train", table, *names)[0] == 0
    status, out, _ = cli("predict", "model.safetensors", table, "-o", "out.csv")
    assert status == 0
    assert "'=1+1' is a label that spreadsheet programs compute" in out
    assert read_column("out.csv", "sky_predicted") == {"=1+1", "-3"}
    status, out, _ = cli("predict", "model.safetensors", table, "-o", "o.csv", "--escape-formulas")
    assert (status, "formula" in out) == (0, False)
    assert read_column("o.csv", "sky_predicted") == {"'=1+1", "-3"}
    assert read_column("o.csv", "sky") == set(labels)


# --- lies in a model file ------------------------------------------------------------------------

ODD = [None, True, -1, 0, 1.5, 1e308, 10**400, "", "x", "2020-01-01", ESCAPE]
ODD += [[], {}, ["a"], {"a": 1}, [None], [[1]], {"a": {"b": 1}}, 2**24, 2**62]


def places(data, path=()):
    """Where something stands in plain data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def with_a_lie(data, rng: random.Random):
    """A copy that says something else in one place; mostly not deep down, where numbers are."""
    data = copy.deepcopy(data)
    by_depth: dict[int, list] = {}
    for place in places(data):
        by_depth.setdefault(len(place), []).append(place)
    *path, last = rng.choice(by_depth[rng.choice(sorted(by_depth))])
    where = data
    for key in path:
        where = where[key]
    if rng.random() < 0.2:
        del where[last]
    else:
        where[last] = rng.choice(ODD)
    return data


@pytest.mark.parametrize("task", ["forecast", "regression", "classification"])
def test_lies_in_extras_are_an_error_that_names_a_file(cli, tmp_path, task):
    table, rng = write_table(tmp_path / "t.csv"), random.Random(0)
    target = "sky" if task == "classification" else "x"
    assert cli("train", table, "--target", target, "--task", task, *SMALL)[0] == 0
    model = cylstm.load("model.safetensors")
    truth = json.loads(json.dumps(model.extras))
    found = set()
    for _ in range(150):
        model.extras = with_a_lie(truth, rng)
        if "table" not in model.extras:
            continue
        model.save("lie.safetensors")
        for command in (["info"], ["predict", "t.csv", "-o", "out.csv"]):
            status, out, err = cli(command[0], "lie.safetensors", *command[1:])
            assert status in (0, 2), (err, model.extras)
            assert status == 0 or "lie.safetensors" in err or "t.csv" in err
            assert "\x1b" not in out + err
            found.add(status)
    assert found == {0, 2}

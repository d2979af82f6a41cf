"""The benchmarks: a tiny run of the whole, and the parts that its figures rest on."""

import doctest
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import cylstm
from benchmarks import cells, footprint, load, measure, native, session, step
from benchmarks import problem as problems
from benchmarks.agreement import agreeing_tasks, disagreement
from benchmarks.bounds import GEMM_FLOPS, READS, bound_seconds
from benchmarks.cells import EXTENDED, GRID, INFERENCE, TRAINING, TRAINING_DX, Cell
from benchmarks.footprint import dependencies
from benchmarks.grid import Row
from benchmarks.machine import describe
from benchmarks.measure import Timing, sampler, time_in_turns
from benchmarks.peers import OURS, PEERS, load_peer
from benchmarks.peers.base import NotOfferedError, Peer, Task
from benchmarks.peers.cylstm import make_lstm
from benchmarks.problem import make_problem
from benchmarks.processes import find_libraries, libraries
from benchmarks.report import entry, mean_ratio, preamble
from benchmarks.results import Results
from benchmarks.tasks import cell_task, characters_task
from benchmarks.thresholds import CHOICES, Choice, planned_with
from cylstm import _core

ROOT = Path(__file__).parents[1]
SMALL = Cell("grid", batch=2, steps=3, inputs=4, hidden=5)
SINGLE = Cell("grid", batch=1, steps=1, inputs=4, hidden=5)
RAGGED = Cell("grid", batch=3, steps=7, inputs=4, hidden=8, shortest=2)
DEEP = Cell("grid", batch=2, steps=5, inputs=3, hidden=4, layers=2, bidirectional=True)
STREAM = Cell("grid", batch=1, steps=6, inputs=4, hidden=8, streams=1)
STREAMS = Cell("grid", batch=1, steps=6, inputs=4, hidden=8, streams=3)


def run_benchmarks(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def timing(seconds):
    return Timing(seconds, seconds, seconds, samples=1)


def row(cell, **seconds):
    return Row(cell, INFERENCE, {k: timing(s) for k, s in seconds.items()}, {}, 1.0, 1.0)


# --- a run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "works"), [
    ("inference", ["inference"]),
    ("training", ["training", "training with dx"]),
])  # fmt: skip
def test_a_run_prints_a_table_and_writes_json(tmp_path, what, works):
    file = tmp_path / "results.json"
    done = run_benchmarks(what, "--cells", "B4 *", "--repeat", "2", "--peers", "", "--threads", "1",
                          "--json", str(file))  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("B4 T30 I24 H48 bidirectional") == len(works)
    document = json.loads(file.read_text())
    assert document["machine"]["threads"] == 1
    assert {"cpu", "cores", "date", "python", "versions", "blas"} <= document["machine"].keys()
    for work in works:
        [measured] = document[work]["rows"]
        ours = measured["results"][OURS]
        assert 0 < ours["first_quartile"] <= ours["median"] <= ours["third_quartile"]
        assert ours["samples"] == 2
        assert ours["us_per_step"] == pytest.approx(ours["median"] / 30 * 1e6)
        assert ours["gflops"] == pytest.approx(measured["flops_per_call"] / ours["median"] / 1e9)
        assert measured["sgemm_gflops"] > 0
        assert measured["bound_us_per_step"] > 0
        assert measured["ratio"] is None  # no peer took part


@pytest.mark.parametrize("arguments", [
    ["--cells", "B7 nothing"],
    ["--peers", "abacus"],
    ["--threads", "100000"],
    ["--repeat", "0"],
])  # fmt: skip
def test_bad_arguments_are_named(arguments):
    done = run_benchmarks(*arguments)
    assert done.returncode == 2
    assert arguments[0].strip("-") in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_was_measured_before_an_interruption_is_in_the_file(tmp_path, monkeypatch):
    def measure_or_stop(cell, *_):
        if cell == GRID[2]:
            raise KeyboardInterrupt
        return row(cell, cylstm=1.0)

    monkeypatch.setattr(session, "measure_cell", measure_or_stop)
    file = tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        session.run(["inference"], GRID, [], 1, 1, Results(file))
    document = json.loads(file.read_text())
    assert document["machine"]["threads"] == 1
    assert [one["name"] for one in document["inference"]["rows"]] == [c.name for c in GRID[:2]]
    assert os.listdir(tmp_path) == [file.name]


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    file = tmp_path / "results.json"
    results = Results(file)
    results.put("first", 1)
    with pytest.raises(TypeError):
        results.put("second", object())
    assert json.loads(file.read_text()) == {"first": 1}


def test_absent_libraries_are_said_to_be_absent(tmp_path, monkeypatch):
    (tmp_path / "jax.py").write_text("raise ImportError('no jax today')")
    monkeypatch.syspath_prepend(tmp_path)
    present, absent = find_libraries([OURS, "jax"])
    assert present == [OURS]
    assert "jax absent: no jax today" in preamble(describe(1), absent)


# --- the same work -------------------------------------------------------------------------------


WHOLE = (SMALL, SINGLE, RAGGED, DEEP)
CASES = [(INFERENCE, cell) for cell in (*WHOLE, STREAM, STREAMS)]
CASES += [(work, cell) for work in (TRAINING, TRAINING_DX) for cell in WHOLE]


@pytest.mark.parametrize("name", [name for name in PEERS if name != OURS])
@pytest.mark.parametrize(("work", "cell"), CASES, ids=lambda case: case.name)
def test_peers_agree_with_cylstm(name, work, cell):
    try:
        peers = {OURS: load_peer(OURS), name: load_peer(name)}
    except ImportError as error:
        pytest.skip(str(error))
    tasks, notes = agreeing_tasks(peers, lambda peer: cell_task(peer, cell, work, threads=1))
    assert [*tasks, *(peer for peer, note in notes.items() if note == "-")] == [OURS, name], notes
    for task in tasks.values():
        task.run()


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_torch_trains_the_same_character_model():
    peers = {name: load_peer(name) for name in (OURS, "torch")}
    tasks, notes = agreeing_tasks(peers, lambda peer: characters_task(peer, threads=1))
    assert list(tasks) == [OURS, "torch"], notes


def outputs_like(**changed):
    rng = np.random.default_rng(0)
    names = ("loss", "gradient weight_hh_l0", "update weight_hh_l0", "dx")
    return {name: rng.standard_normal((4, 5)) for name in names} | changed


@pytest.mark.parametrize(("name", "change", "message"), [
    ("dx", lambda a: a * 1.01, "dx differs by 1.0e-02"),
    ("loss", lambda a: a + 1e-3, "loss differs"),
    ("loss", lambda a: a * np.nan, "loss differs by nan"),
    ("gradient weight_hh_l0", lambda a: a + np.eye(4, 5) / 10, "gradient weight_hh_l0 differs"),
    ("update weight_hh_l0", np.zeros_like, "update weight_hh_l0 differs by 1.0e+00"),
    ("dx", lambda a: a * 0, "dx differs by 1.0e+00"),
    ("dx", lambda a: a[1:], "dx has shape (3, 5), not (4, 5)"),
])  # fmt: skip
def test_a_difference_is_found(name, change, message):
    reference = outputs_like()
    assert disagreement(outputs_like(), reference) is None
    changed = outputs_like(**{name: change(reference[name])})
    assert disagreement(changed, reference).startswith(message)


def test_a_missing_output_is_found():
    reference = outputs_like()
    assert disagreement({k: v for k, v in reference.items() if k != "dx"}, reference) == "no dx"


def test_only_libraries_that_agree_are_timed():
    def give(value):
        return Task(lambda: None, lambda: {"y": np.full(3, value)})

    def fail():
        raise RuntimeError("out of order")

    def refuse():
        raise NotOfferedError

    builders = {
        OURS: lambda: give(1.0),
        "good": lambda: give(1.0 + 1e-6),
        "hasty": lambda: give(1.01),
        "broken": fail,
        "other": refuse,
    }
    peers = {name: Peer() for name in builders}
    by_peer = {peer: builders[name] for name, peer in peers.items()}
    tasks, notes = agreeing_tasks(peers, lambda peer: by_peer[peer]())
    assert list(tasks) == [OURS, "good"]
    assert notes["hasty"].startswith("wrong: y differs by 1.0e-02")
    assert notes["broken"] == "failed: RuntimeError: out of order"
    assert notes["other"] == "-"


# --- a process for each library ------------------------------------------------------------------


def describe_process(peer):
    own = np.array([os.getpid(), os.getppid(), "torch" in sys.modules])
    return Task(lambda: time.sleep(0.01), lambda: {"y": own})


def kill_process(peer):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(peer):
    raise NotOfferedError


def test_a_library_computes_in_a_process_of_its_own():
    with libraries([OURS]) as peers:
        task = peers[OURS].build(describe_process)
        [pid, parent, torch_is_there] = task.outputs()["y"]
        assert pid != parent == os.getpid()
        assert not torch_is_there
        assert 0.01 <= task.sample(0.02) < 0.1
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
def test_the_process_that_measures_imports_no_library():
    code = """
import sys
from benchmarks.processes import find_libraries
if __name__ == "__main__":
    print(find_libraries(["torch"])[0], "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.split() == [b"['torch']", b"False"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="other processes cannot be looked at")
def test_a_library_s_process_ends_with_the_one_that_started_it():
    code = """
import os, signal
from benchmarks.processes import libraries
with libraries(["cylstm"]) as peers:
    print(peers["cylstm"].process.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ended(pids_printed_by(code, 1))


def pids_printed_by(code, count):
    """What a program that ends itself prints in a line; others may hold its output open."""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as done:
        pids = [int(pid) for pid in done.stdout.readline().split()]
    assert len(pids) == count
    return pids


def ended(pids):
    for _ in range(200):
        if not any(is_running(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("build", "note"), [
    (kill_process, "failed: BrokenProcessPool"),
    (refuse, "-"),
])  # fmt: skip
def test_what_happens_to_one_process_is_the_note_of_that_library(build, note):
    with libraries([OURS]) as first, libraries([OURS]) as second:
        pairs = {"good": (first[OURS], describe_process), "other": (second[OURS], build)}
        tasks, notes = agreeing_tasks(pairs, lambda pair: pair[0].build(pair[1]))
        assert list(tasks) == ["good"]
        assert notes["other"].startswith(note)


# --- a step in C ---------------------------------------------------------------------------------

needs_eigen = pytest.mark.skipif(
    shutil.which("g++") is None or native.find_eigen() is None, reason="needs g++ and Eigen"
)


@pytest.fixture(scope="module")
def steps_library(tmp_path_factory):
    return native.build_library([(1, 16), (3, 5)], tmp_path_factory.mktemp("steps"))


@needs_eigen
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 16), (3, 5)])
def test_all_that_step_agree(steps_library, inputs, hidden):
    problem = make_problem(Cell("step", 1, step.COMPARED_STEPS, inputs, hidden))
    makers = step.builders(steps_library, problem)
    tasks, notes = agreeing_tasks(makers, lambda make: make())
    assert list(tasks) == [step.CORE, *step.EIGEN, step.PYTHON], notes
    expected, _ = make_lstm(problem, 1)(problem.x)
    np.testing.assert_allclose(makers[step.CORE]().outputs()["steps"], expected[:, 0], atol=1e-6)


@needs_eigen
def test_a_step_of_another_cell_is_not_timed(steps_library):
    problem = make_problem(Cell("step", 1, step.COMPARED_STEPS, 3, 5))
    other = replace(problem, weights={k: 1.001 * w for k, w in problem.weights.items()})
    makers = step.builders(steps_library, problem)
    makers["Eigen"] = step.builders(steps_library, other)["Eigen"]
    tasks, notes = agreeing_tasks(makers, lambda make: make())
    assert "Eigen" not in tasks
    assert notes["Eigen"].startswith("wrong: steps differs")


@needs_eigen
def test_the_step_part_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(step, "SIZES", [(1, 16)])
    for name in ("SAMPLE_SECONDS", "WARM_SECONDS"):
        monkeypatch.setattr(measure, name, 1e-3)
    monkeypatch.setattr(step, "LATENCY_STEPS", 5000)
    results = Results(tmp_path / "results.json")
    assert session.run_step(2, results)
    [measured] = json.loads((tmp_path / "results.json").read_text())["step"]["rows"]
    medians = {name: measured["timings"][name]["median"] for name in measured["timings"]}
    assert medians.keys() == {step.CORE, *step.EIGEN, step.PYTHON}
    assert 0 < min(medians.values()) < max(medians.values()) < 1e-3  # of one step
    best = min(medians[name] for name in step.EIGEN)
    assert measured["ratio"] == pytest.approx(best / medians[step.CORE])
    assert measured["beyond_core"] == pytest.approx(medians[step.PYTHON] - medians[step.CORE])
    latencies = measured["latencies"]
    assert latencies.keys() == {step.CORE, *step.EIGEN}
    for latency in latencies.values():
        assert 0 < latency["percentile_99"] <= latency["worst"] < 1
        assert latency["steps"] >= 5000
    printed = capsys.readouterr().out.splitlines()[-1].split()
    eigen = min(step.EIGEN, key=medians.get)
    for name, shown in ((step.CORE, printed[2:5]), (eigen, printed[5:8])):
        expected = [medians[name], latencies[name]["percentile_99"], latencies[name]["worst"]]
        assert [float(text) for text in shown] == pytest.approx([1e6 * s for s in expected], 1e-3)
    assert printed[:2] == ["I1", "H16"]


@needs_eigen
@pytest.mark.parametrize("make", [step.core_stream, partial(step.eigen_stream, products=2)])
def test_steps_that_are_timed_alone_are_the_same_steps(steps_library, make):
    problem = make_problem(Cell("step", 1, 50, 3, 5))
    x, y, again = problem.x[:, 0].copy(), *np.full((2, 50, 5), np.nan, np.float32)
    make(steps_library, problem).run(x, y)
    start = time.perf_counter()
    seconds = make(steps_library, problem).time_each(x, again)
    elapsed = time.perf_counter() - start
    np.testing.assert_array_equal(again, y)
    assert seconds.shape == (50,) and (seconds > 0).all() and seconds.sum() < elapsed


@needs_eigen
def test_a_stream_that_cannot_be_made_is_an_error(steps_library):
    with pytest.raises(ValueError, match="no core stream"):
        native.CStream(steps_library, "core", b"none", None)


@pytest.mark.parametrize(("present", "message"), [("Eigen", "g++"), ("g++", "Eigen")])
def test_without_a_compiler_or_eigen_the_step_part_says_so(monkeypatch, capsys, present, message):
    monkeypatch.setattr(native.shutil, "which", lambda _: present if present == "g++" else None)
    monkeypatch.setattr(native, "find_eigen", lambda: present if present == "Eigen" else None)
    results = Results()
    assert session.run_step(1, results)
    assert f"not measured: {message} is absent" in capsys.readouterr().out
    assert results.document["step"]["absent"].startswith(message)


def test_the_core_is_compiled_as_the_package_is():
    sources = native.core_sources()
    assert {source.name for source in sources} >= {"network.c", "kernels_generic.c"}
    for flags in sources.values():
        assert {"-O3", "-ffp-contract=off"} <= set(flags)


# --- under load ----------------------------------------------------------------------------------


def test_busy_processes_compute_and_are_gone_afterwards():
    with load.busy_processes(2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.returncode == -signal.SIGKILL for process in processes)


@pytest.mark.skipif(not Path("/proc").exists(), reason="other processes cannot be looked at")
def test_busy_processes_end_with_the_one_that_started_them():
    code = """
import os, signal
from benchmarks.load import busy_processes
with busy_processes(2) as processes:
    print(*(process.pid for process in processes), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert ended(pids_printed_by(code, 2))


def test_the_load_part_prints_a_table_and_writes_json(
    tmp_path, monkeypatch, capsys, restore_num_threads
):
    for name in ("SAMPLE_SECONDS", "WARM_SECONDS"):
        monkeypatch.setattr(measure, name, 1e-3)
    monkeypatch.setattr(load, "BUSY_SECONDS", 1e-3)
    monkeypatch.setattr(load, "CALM_SECONDS", 0.0)
    file = tmp_path / "results.json"
    session.run_load([SMALL, STREAM, STREAMS], 2, 2, Results(file))
    rows = json.loads(file.read_text())["load"]["rows"]
    assert [one["name"] for one in rows] == [SMALL.name, STREAM.name]  # STREAMS takes no team
    for one in rows:
        idle = {team: one["idle"][team]["median"] for team in "12"}
        assert one["idle_ratio"] == pytest.approx(idle["2"] / idle["1"])
        assert one["busy_ratio"] == pytest.approx(one["busy"]["2"] / one["busy"]["1"])
        assert one["busy"]["1"] > 0
    assert SMALL.name in capsys.readouterr().out


def test_each_team_s_calls_may_use_its_threads_and_no_more(restore_num_threads):
    allowed = []
    runs = {n: load.run_by(n, lambda: allowed.append(cylstm.get_num_threads())) for n in (1, 2)}
    for team in (2, 1, 2):
        runs[team]()
        assert allowed[-1] == team


def test_the_plan_part_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    for name in ("SAMPLE_SECONDS", "WARM_SECONDS"):
        monkeypatch.setattr(measure, name, 1e-3)
    seen, before = [], _core.thresholds()

    def make(size, threads):
        return lambda: seen.append(_core.thresholds()["wave_chunks"]), size / threads

    choices = [Choice("wave_chunks", "all threads", (4, 8), make, above=3, below=5)]
    monkeypatch.setattr(session, "CHOICES", choices)
    file = tmp_path / "results.json"
    session.run_plan(2, 2, Results(file))
    (measured,) = json.loads(file.read_text())["plan"]
    assert measured["now"] == before["wave_chunks"]
    assert [point["size"] for point in measured["points"]] == [2, 4]
    assert all(point["gain"] > 0 and point["gain_after_pause"] > 0 for point in measured["points"])
    assert {3, 5} <= set(seen) <= {3, 5, before["wave_chunks"]}
    assert _core.thresholds() == before
    assert "wave_chunks" in capsys.readouterr().out


def test_the_choices_of_the_plan_make_a_difference(blas_as_planned):
    for choice in CHOICES:
        if choice.threshold == "values_per_thread":
            continue  # not of a call's plan
        network = cylstm.LSTM(64, 64, 2, bidirectional="directions" in choice.question)._network
        batch, plans = {"split": 30, "fused": 10}.get(choice.threshold.split("_")[0], 1), []
        for value in (choice.above or choice.sizes[0], choice.below):
            with planned_with(choice.threshold, value):
                plans.append(network.plan(600, batch, 2, False))
        assert plans[0] != plans[1], choice


def test_one_thread_has_no_load_to_measure(capsys):
    results = Results()
    session.run_load([SMALL], 1, 1, results)
    assert "not measured" in capsys.readouterr().out
    assert results.document["load"] == {"absent": "one thread"}


# --- what the figures mean -----------------------------------------------------------------------


def test_libraries_take_turns(monkeypatch):
    for name in ("SAMPLE_SECONDS", "WARM_SECONDS", "SETTLE_SECONDS", "UNSETTLED_SECONDS"):
        monkeypatch.setattr(measure, name, 0.0)
    seen = []
    timings = time_in_turns({name: sampler(partial(seen.append, name)) for name in "ab"}, 3)
    turns = [name for name, before in zip(seen, ["", *seen], strict=False) if name != before]
    assert turns == ["a", "b"] * 3
    assert timings["a"].samples == timings["b"].samples == 3


def test_a_timing_is_the_median_and_quartiles_of_its_samples():
    assert measure.summarise([5.0, 1.0, 4.0, 2.0, 3.0]) == Timing(3.0, 2.0, 4.0, 5)


def test_a_sample_is_the_mean_of_warm_calls(monkeypatch):
    seconds = iter(np.cumsum([0.0, 0.01, 0.01, 0.0, 0.16]))  # start, two warm calls, start, end
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(seconds))
    done = []
    monkeypatch.setattr(measure, "settle", lambda: done.append("rest"))
    assert measure.sample(lambda: done.append("call"), 0.05) == pytest.approx(0.16 / 5)
    # Warm calls took 0.01 s each, so five last 0.05 s.
    assert done == ["rest", *["call"] * (2 + 5), "rest"]


def test_a_sample_waits_for_threads_that_still_compute(monkeypatch):
    used = iter([0.0, 0.005, 0.005, 0.008, 0.008, 0.008])  # before and after each rest
    rests = []
    monkeypatch.setattr(measure.time, "process_time", lambda: next(used))
    monkeypatch.setattr(measure.time, "sleep", rests.append)
    measure.settle()
    assert rests == [0.005] * 3


def test_flops_are_counted_by_hand():
    # 6 rows, 20 gate outputs, 9 inputs of each: x (4) and h (5); a multiplication and an addition.
    forward = 6 * 20 * 9 * 2
    assert SMALL.flops(INFERENCE) == forward
    assert SMALL.flops(TRAINING_DX) == 3 * forward
    assert SMALL.flops(TRAINING) == 3 * forward - 6 * 20 * 4 * 2
    # Two directions; the second layer reads both directions of the first.
    assert DEEP.flops(INFERENCE) == 2 * 10 * 16 * (3 + 4 + 8 + 4) * 2
    assert RAGGED.lengths == [7, 4, 2]
    assert RAGGED.flops(INFERENCE) == (7 + 4 + 2) * 32 * (4 + 8) * 2
    assert STREAMS.flops(INFERENCE) == 3 * STREAM.flops(INFERENCE)


def test_the_bound_is_the_slower_of_computing_and_reading():
    cell = Cell("grid", 1, 10, 4, 8)
    fast, slow = timing(1e-9), timing(1.0)
    compute = cell.flops(INFERENCE) / GEMM_FLOPS
    assert bound_seconds(cell, INFERENCE, {"sgemm": slow}) == pytest.approx(compute)
    reading = {"sgemm": fast, "read": slow}
    assert bound_seconds(cell, INFERENCE, reading) == pytest.approx(10 / READS)
    assert bound_seconds(cell, TRAINING, reading) == pytest.approx(2 * 10 / READS)
    assert bound_seconds(cell, INFERENCE, {"sgemm": slow, "read": fast}) == pytest.approx(compute)


def test_the_ratio_is_to_the_best_peer_and_the_mean_over_the_grid_alone():
    first = row(GRID[0], cylstm=1.0, torch=8.0, jax=4.0)
    second = row(GRID[1], cylstm=4.0, torch=4.0)
    other = row(EXTENDED[0], cylstm=1.0, torch=100.0)
    assert (first.best_peer, first.ratio) == ("jax", 4.0)
    assert entry(first, "jax") == "4000000*"
    assert mean_ratio([first, second, other]) == (pytest.approx(2.0), 2)
    assert row(GRID[0], torch=1.0).ratio is None
    assert mean_ratio([other]) == (None, 0)


@pytest.mark.parametrize("module", [cells, problems, step])
def test_examples_in_docstrings(module):
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0


def test_the_footprint_part_prints_a_table_and_writes_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(footprint, "LIBRARIES", ("numpy", "cylstm", "nothing"))
    monkeypatch.setattr(footprint, "STREAMING", footprint.STREAMING.replace("10000", "10"))
    results = Results(tmp_path / "results.json")
    session.run_footprint(1, results)
    document = json.loads((tmp_path / "results.json").read_text())
    imports = {name: found["import_seconds"] for name, found in document["footprint"].items()}
    assert imports.keys() == {"numpy", "cylstm"}
    printed = capsys.readouterr().out
    line = next(line.split() for line in printed.splitlines() if line.startswith("cylstm "))
    beyond = 1e3 * (imports["cylstm"] - imports["numpy"])
    assert float(line[2]) == pytest.approx(beyond, abs=0.51)
    peak = document["streaming_peak_bytes"]
    assert ("not known" if peak is None else f"{peak / 1e6:.1f} MB") in printed


def test_dependencies_are_followed():
    assert {"numpy", "scipy"} <= dependencies("scipy")
    assert "numpy" not in dependencies("packaging")

"""libFuzzer on loading and running files, which begins with files that Python saves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import cylstm

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-std=c11", "-O1", "-g1", "-ffp-contract=off", "-DCYLSTM_GENERIC_ONLY", "-Isrc"]
CHECKS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
SECONDS = 5


@pytest.fixture
def fuzzer(tmp_path: Path) -> str:
    """The program: kernels without the sanitizers, which take a minute to put into them."""
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    probe = ["clang", CHECKS[0], "-x", "c", "-", "-o", str(tmp_path / "probe")]
    source = b"int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return 0; }"
    linked = subprocess.run(probe, input=source, check=False, capture_output=True)
    if linked.returncode != 0:
        pytest.skip("clang comes without libFuzzer's runtime")
    program, kernels = str(tmp_path / "fuzz_model"), str(tmp_path / "kernels.o")
    sources = [str(path) for path in ROOT.glob("src/[!k]*.c")]
    compile_kernels = ["clang", *FLAGS, "-c", "src/kernels_generic.c", "-o", kernels]
    compile_all = ["clang", *FLAGS, *CHECKS, "tests/c/fuzz_model.c", *sources, kernels, "-lm"]
    subprocess.run(compile_kernels, check=True, cwd=ROOT)
    subprocess.run([*compile_all, "-o", program], check=True, cwd=ROOT)
    return program


def run(*command: str | Path) -> str:
    """What libFuzzer prints; the test fails where it found something."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stderr


def save_seeds(folder: Path) -> None:
    """Small files of every kind."""
    folder.mkdir()
    regression = cylstm.SequenceModel(
        task="regression", input_size=2, hidden_size=3, num_layers=2, output_size=2, pooling="max"
    )
    regression.set_input_scale([1.0, 2.0], [1.0, 2.0])
    regression.set_output_scale([1.0, 2.0], [1.0, 2.0])
    sizes = {"vocab_size": 5, "embedding_size": 2, "hidden_size": 3}
    classification = cylstm.SequenceModel(
        task="classification", output_size=2, pooling="mean", **sizes
    )
    layers = cylstm.LSTM(2, 3), cylstm.RNN(2, 3, bidirectional=True, bias=False)
    language = cylstm.SequenceModel(task="language", output_size=5, cell="rnn", **sizes)
    for number, model in enumerate((regression, classification, language, *layers)):
        model.save(folder / str(number))


def test_no_file_harms(fuzzer, tmp_path):
    save_seeds(tmp_path / "seeds")
    (tmp_path / "corpus").mkdir()
    limits = [f"-max_total_time={SECONDS}", "-max_len=6000", "-print_final_stats=1"]
    printed = run(
        fuzzer, *limits, f"-artifact_prefix={tmp_path}/", tmp_path / "corpus", tmp_path / "seeds"
    )
    statistics = [line for line in printed.splitlines() if line.startswith("stat::")]
    print(*statistics, sep="\n")
    tried = next(line for line in statistics if "number_of_executed_units" in line)
    assert int(tried.split()[-1]) > 1000

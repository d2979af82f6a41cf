"""Fail where the C tests leave too much of src/ unseen.

    python tools/coverage.py

Compiles src/ and tests/c with gcc's ``--coverage`` in a temporary folder, runs the tests, and
prints how many lines and branches they reach, as gcovr counts them, and which lines they do not.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEAST = {"lines": 98.0, "branches": 90.0}  # per cent
FLAGS = ["-std=c11", "-O1", "-ffp-contract=off", "-fopenmp", "-Isrc"]
KERNELS: dict[str, dict[str, list[str]]] = {
    "x86_64": {"generic": [], "avx2": ["-mavx2", "-mfma"], "avx512": ["-mavx512f", "-mfma"]},
    "aarch64": {"generic": [], "neon": []},
}
#: What Linux calls the instruction sets that not every processor of its kind has.
CPU_FLAGS = {"avx2": "avx2", "avx512": "avx512f"}
#: Millions of floats, or of differences, through what the other programs reach too.
TOO_LONG = ("test_activation", "test_gradients")
#: Why lines are left, by the file they are in.
REASONS = {
    "src/model.c": "a file that becomes shorter, or unreadable, while it is read",
    "src/system.c": "what a forked child does, which ends without saying what it has reached",
}


def main() -> int:
    """Print the coverage.

    Returns
    -------
    int
        The exit status: 1 where it is too little.
    """
    with tempfile.TemporaryDirectory() as folder:
        programs = build(Path(folder))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run, programs))
        return report(measure(folder))


def run(*command: str | Path) -> str:
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> list[Path]:
    """Every test as a program."""
    sources = {source: ["--coverage"] for source in ROOT.glob("src/[!k]*.c")}
    for isa, flags in KERNELS.get(platform.machine(), {"generic": []}).items():
        counted = runs_here(isa)
        sources[ROOT / f"src/kernels_{isa}.c"] = [*flags, *["--coverage"] * counted]
        if not counted:
            print(f"{isa}: not counted, since this processor does not have it")
    objects = {source: folder / f"{source.stem}.o" for source in sources}
    tests = [test for test in sorted(ROOT.glob("tests/c/test_*.c")) if test.stem not in TOO_LONG]

    def compile_core(source: Path) -> None:
        run("gcc", *FLAGS, *sources[source], "-c", source, "-o", objects[source])

    def compile_test(test: Path) -> Path:
        program = folder / test.stem
        run("gcc", *FLAGS, "--coverage", test, *objects.values(), "-lm", "-lpthread", "-o", program)
        return program

    with ThreadPoolExecutor() as pool:
        list(pool.map(compile_core, sources))
        return list(pool.map(compile_test, tests))


def runs_here(isa: str) -> bool:
    """Whether this processor has the instructions; Linux says so."""
    return CPU_FLAGS.get(isa, "") in ["", *Path("/proc/cpuinfo").read_text().split()]


def measure(folder: str) -> list[dict[str, Any]]:
    """Each file of src/ with its lines, as gcovr has them."""
    options = ["--root", str(ROOT), "--filter", "src/", "--json", "-"]
    printed = run(sys.executable, "-m", "gcovr", *options, folder)
    files: list[dict[str, Any]] = json.loads(printed)["files"]
    return files


def report(files: list[dict[str, Any]]) -> int:
    """A line for each file and one for all; 1 where the latter, or a reason, falls short."""
    all_lines: list[int] = []
    all_branches: list[int] = []
    unexplained = []
    print("lines branches")
    for file in files:
        name, lines, branches = file["file"], counts(file["lines"]), counts_of_branches(file)
        left = [line["line_number"] for line in file["lines"] if line["count"] == 0]
        reason = REASONS.get(name, "NO REASON GIVEN") if left else ""
        unexplained += [name] if left and name not in REASONS else []
        print(f"{share(lines):5.1f} {share(branches):5.1f} {name} {left or ''} {reason}".rstrip())
        all_lines += lines
        all_branches += branches
    found = {"lines": share(all_lines), "branches": share(all_branches)}
    short = [what for what, least in LEAST.items() if found[what] < least]
    print(f"{found['lines']:5.1f} {found['branches']:5.1f} in all; at least {LEAST} are wanted")
    return 1 if short or unexplained else 0


def counts(items: list[dict[str, Any]]) -> list[int]:
    """How often each was reached."""
    return [item["count"] for item in items]


def counts_of_branches(file: dict[str, Any]) -> list[int]:
    return [count for line in file["lines"] for count in counts(line["branches"])]


def share(reached: list[int]) -> float:
    """Per cent of what was reached; of nothing, all."""
    return 100.0 * sum(count > 0 for count in reached) / len(reached) if reached else 100.0


if __name__ == "__main__":
    sys.exit(main())

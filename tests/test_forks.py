"""Forks: after another OpenMP library was used, and beside threads that change weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from test_same_bits import digest
from test_threads_default import run_python

import cylstm

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

# --- whichever OpenMP library the parent has used ------------------------------------------------

USES = {
    "torch": "import torch; torch.rand(800, 800) @ torch.rand(800, 800); torch.rand(10**7).sum()",
    "sklearn": """
import numpy as np
from sklearn.cluster import KMeans
KMeans(8, n_init=1).fit(np.random.default_rng(0).random((20000, 8)))
""",
    "cylstm": """
import cylstm
import numpy as np
cylstm.LSTM(64, 256)(np.zeros((100, 32, 64), np.float32), num_threads=2)
""",
}

# Prints "done" if the child ends in time.
FORK = """
import os, time
exec({parent!r})
pid = os.fork()
if pid == 0:
    exec({child!r})
    os._exit(7)
end = time.monotonic() + 10
while time.monotonic() < end:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        print("done" if os.waitstatus_to_exitcode(status) == 7 else "failed")
        break
    time.sleep(0.02)
else:
    os.kill(pid, 9)
    print("hangs")
"""


def fork_of(parent: str, child: str) -> str:
    return run_python(FORK.format(parent=parent, child=child)).strip()


PAIRS = [(parent, child) for parent in USES for child in USES if "cylstm" in (parent, child)]


# Loaded first is whose OpenMP runtime others may share.
@pytest.mark.parametrize("first", ["nothing", "cylstm", "torch"])
@pytest.mark.parametrize(("parent", "child"), PAIRS)
def test_a_child_does_not_hang(first, parent, child):
    for name in {first, parent, child} - {"cylstm", "nothing"}:
        pytest.importorskip(name)
    imports = "" if first == "nothing" else f"import {first}"
    assert fork_of(f"{imports}\n{USES[parent]}", USES[child]) == "done"


def test_a_worker_of_a_pytorch_data_loader_may_call():
    pytest.importorskip("torch")
    printed = run_python("""
import torch
torch.rand(800, 800) @ torch.rand(800, 800)
torch.rand(10**7).sum()
class Data(torch.utils.data.Dataset):
    def __len__(self): return 4
    def __getitem__(self, index):
        import cylstm, numpy as np
        y, _ = cylstm.LSTM(64, 256, seed=0)(np.ones((100, 32, 64), np.float32), num_threads=2)
        return float(y[-1, 0, index])
options = {"num_workers": 2, "multiprocessing_context": "fork", "timeout": 10}
loader = torch.utils.data.DataLoader(Data(), **options)
print(len(list(loader)))
""")
    assert printed.strip() == "4"


# Uses OpenMP, forks, and loads the library in the child, which computes on two threads.
C_PROGRAM = r"""
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cylstm.h"

#define FIND(name) __typeof__(name) *find_##name = (__typeof__(name) *)dlsym(library, #name)

static int compute(const char *file, const char *path)
{
    enum { STEPS = 100, BATCH = 32, WIDTH = 64, HIDDEN = 256 };
    void *library = dlopen(file, RTLD_NOW);
    if (library == NULL) return 1;
    FIND(cylstm_load);
    FIND(cylstm_state_new);
    FIND(cylstm_call_run);
    cylstm_model *model;
    cylstm_state *state;
    const cylstm_state_options options = {
        .struct_size = sizeof options, .batch = BATCH, .max_steps = STEPS, .max_threads = 2};
    if (find_cylstm_load(path, NULL, &model, NULL, 0) != CYLSTM_OK) return 2;
    if (find_cylstm_state_new(model, &options, &state) != CYLSTM_OK) return 3;
    float *x = calloc(STEPS * BATCH * WIDTH, sizeof *x);
    float *y = calloc(STEPS * BATCH * HIDDEN, sizeof *y);
    const cylstm_call call = {
        .struct_size = sizeof call, .steps = STEPS, .x = x, .y = y, .threads = 2};
    return find_cylstm_call_run(state, &call) == CYLSTM_OK ? 7 : 4;
}

int main(int count, char **arguments)
{
    int status, sum = 0;
#pragma omp parallel for num_threads(2) reduction(+ : sum)
    for (int i = 0; i < 1000; i++) sum += i;
    const pid_t child = fork();
    if (child == 0) {
        alarm(10);
        _exit(count == 3 && sum > 0 ? compute(arguments[1], arguments[2]) : 5);
    }
    waitpid(child, &status, 0);
    printf("%s", WIFSIGNALED(status) ? "hangs" : WEXITSTATUS(status) == 7 ? "done" : "failed");
    return 0;
}
"""


def test_the_c_library_loaded_in_a_child_of_a_parent_that_used_openmp(tmp_path):
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    source, program = tmp_path / "program.c", str(tmp_path / "program")
    source.write_text(C_PROGRAM)
    include = Path(cylstm.get_include())
    flags = ["-std=gnu11", "-fopenmp", f"-I{include}"]
    subprocess.run(["gcc", *flags, str(source), "-ldl", "-o", program], check=True)
    cylstm.LSTM(64, 256, seed=0).save(tmp_path / "model.safetensors")
    library = next((include.parent / "lib").glob("libcylstm.so.*"))
    command = [program, str(library), str(tmp_path / "model.safetensors")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done"


# --- beside threads that change weights ----------------------------------------------------------

VALUES = (2.0**-10, 2.0**-9)


def fork_beside_edits(count: int) -> set[int]:
    """How children end: 1 where weights of two versions are mixed, 2 where outputs are of none."""
    layer, x = cylstm.LSTM(512, 512, seed=0), np.ones((1, 1, 512), np.float32)
    versions = [
        {name: np.full_like(array, value) for name, array in layer.parameters.items()}
        for value in VALUES
    ]
    expected = set()
    for version in versions:
        layer.load_state_dict(version)
        expected.add(digest([layer(x)[0]]))
    assert len(expected) == len(VALUES)
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            for version in versions:
                layer.load_state_dict(version)

    def look() -> int:
        seen = np.unique(np.concatenate([a.ravel() for a in layer.state_dict().values()]))
        return int(len(seen) > 1) + 2 * int(digest([layer(x)[0]]) not in expected)

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        return {status_of_child(look) for _ in range(count)}
    finally:
        stop.set()
        editor.join()


def status_of_child(function) -> int:
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("count", [20, pytest.param(250, marks=pytest.mark.slow)])
def test_a_child_has_the_weights_of_one_version(count):
    assert fork_beside_edits(count) == {0}


def test_a_child_ends_whose_sibling_waited_for_blas_at_the_fork():
    """What the parent's threads have begun is nothing for the child to wait for at its end."""
    printed = run_python("""
import os, sys, threading, warnings
import numpy as np
import cylstm
warnings.simplefilter("ignore", DeprecationWarning)
layer, x = cylstm.LSTM(256, 256, seed=0), np.ones((200, 16, 256), np.float32)
layer(x)
def call():
    while True: layer(x)
for _ in range(3): threading.Thread(target=call, daemon=True).start()
for _ in range(8):
    pid = os.fork()
    if pid == 0: sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    assert set(printed.split()) == {"7"}

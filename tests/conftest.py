"""What all tests share: hypothesis that repeats itself, thread counts that do not leak, sgemm."""

import functools
import os
import signal

import pytest
from hypothesis import settings

# Products that go to sgemm by the plan take a test too long; these do it with less. Set before the
# library is imported, and so for the processes that tests start.
LITTLE_BLAS_WORK = 2_000_000
os.environ["CYLSTM_BLAS_WORK"] = str(LITTLE_BLAS_WORK)

# Of tests that run in several threads at once (pytest --parallel-threads, by pytest-run-parallel):
# what belongs to the process, or to all threads of a test, so that one must have it alone.
SHARED_FIXTURES = {"tmp_path", "tmp_path_factory", "path", "restore_num_threads", "blas_as_planned"}
SHARING_MODULES = {
    "test_blas",  # BLAS's threads, forks
    "test_exit",  # starts processes
    "test_forks",
    "test_interrupts",  # signals
    "test_memory",  # counts what the process allocates
    "test_neighbours",  # these start processes, which would fight for the cores
    "test_threads",  # forks, signals, threads of its own
    "test_threads_default",
}
SHARING_TESTS = {"test_streams"}  # each stream is for one thread at a time


def pytest_collection_modifyitems(items):
    for item in items:
        has_fixture = SHARED_FIXTURES & set(getattr(item, "fixturenames", ()))
        name = getattr(item, "originalname", item.name)
        if has_fixture or name in SHARING_TESTS or item.path.stem in SHARING_MODULES:
            item.add_marker("thread_unsafe")


settings.register_profile("cylstm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cylstm")


@pytest.fixture
def control_c():
    """SIGINT interrupts, here and in new processes: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def restore_num_threads():
    """Undo what a test does with cylstm.set_num_threads."""
    import cylstm

    before = cylstm.get_num_threads()
    yield
    cylstm.set_num_threads(before)


@pytest.fixture
def blas_as_planned():
    """Only products as large as the plan says go to sgemm."""
    from cylstm import _core

    _core.set_threshold("blas_work", 0)
    yield
    _core.set_threshold("blas_work", LITTLE_BLAS_WORK)


@pytest.fixture(scope="session")
def library_of(tmp_path_factory):
    """The C core as a variant of test_c has it, compiled once."""
    from test_c import make_library

    return functools.cache(
        lambda variant: make_library(variant, tmp_path_factory.mktemp(str(variant)))
    )

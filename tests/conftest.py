"""What all tests share: hypothesis that repeats itself, thread counts that do not leak, sgemm."""

import os

import pytest
from hypothesis import settings

# Products that go to sgemm by the plan take a test too long; these do it with less. Set before the
# library is imported, and so for the processes that tests start.
os.environ["CYLSTM_BLAS_WORK"] = str(2_000_000)

settings.register_profile("cylstm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cylstm")


@pytest.fixture
def restore_num_threads():
    """Undo what a test does with cylstm.set_num_threads."""
    import cylstm

    before = cylstm.get_num_threads()
    yield
    cylstm.set_num_threads(before)

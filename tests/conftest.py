"""What all tests share: hypothesis that repeats itself, and thread counts that do not leak."""

import pytest
from hypothesis import settings

settings.register_profile("cylstm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("cylstm")


@pytest.fixture
def restore_num_threads():
    """Undo what a test does with cylstm.set_num_threads."""
    import cylstm

    before = cylstm.get_num_threads()
    yield
    cylstm.set_num_threads(before)

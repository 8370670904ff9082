import pytest
import torch


@pytest.fixture(autouse=True)
def seeded_on_one_thread() -> None:
    """Tiny networks are slower on two threads, and their sums depend on the number."""
    torch.set_num_threads(1)
    torch.manual_seed(3)

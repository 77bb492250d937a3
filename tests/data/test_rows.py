import numpy as np
import torch

from amplify.data.rows import Rows


def test_rows_are_read_at_random():
    rows, first, second = Rows(), np.arange(6, dtype=np.float32).reshape(3, 2), np.full((2, 2), 9, np.float32)
    rows.append(first)
    rows.append(second)
    at = torch.tensor([[4, 0], [2, 2]])
    assert torch.equal(rows[at], torch.from_numpy(np.concatenate([first, second]))[at])


def test_what_is_read_can_be_changed_without_changing_the_rows():
    rows = Rows()
    rows.append(np.ones((2, 1), np.float32))
    rows[torch.tensor([0])].fill_(5)
    assert rows[torch.tensor([0])].item() == 1

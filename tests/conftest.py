import torch
from hypothesis import settings

# The same examples in every run, and no time limit: machines that test are busy.
settings.register_profile("amplify", deadline=None, derandomize=True)
settings.load_profile("amplify")

# Two threads a process make small models several times slower when other processes are busy.
torch.set_num_threads(1)

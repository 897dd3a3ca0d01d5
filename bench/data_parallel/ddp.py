"""One of two ranks of `data_parallel`, of PyTorch: the module of rank.cpp, alone and by DistributedDataParallel on
Gloo. Prints "SIDE BYTES MICROSECONDS" lines.

ddp.py MEETING BATCH [TIMES]: MEETING is where ranks find each other, as init_process_group takes it. What launches
MPI's jobs starts it. Sides: python_none; ddp; views, where gradients stand in the buckets, and views_4, in buckets of
4 MiB.
"""

import os
import socket
import sys
import time

if not sys.argv[1].startswith("file:"):  # over a cable, which bears the name of its host
    os.environ["GLOO_SOCKET_IFNAME"] = socket.gethostname()

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

INPUTS, WIDTH, LAYERS, CLASSES = 128, 1024, 8, 1000


class Side:
    def __init__(self, name, batch, wrap):
        torch.manual_seed(1)
        hidden = [layer for k in range(LAYERS) for layer in (nn.Linear(WIDTH if k else INPUTS, WIDTH), nn.ReLU())]
        module = nn.Sequential(*hidden, nn.Linear(WIDTH, CLASSES))
        self.name, self.times = name, []
        self.size = sum(p.numel() * p.element_size() for p in module.parameters())
        self.x, self.y = torch.randn(batch, INPUTS), torch.arange(batch).remainder(CLASSES)
        self.optimizer = torch.optim.SGD(module.parameters(), 1e-3, momentum=.9)
        self.model = wrap(module)

    def step(self):
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()


rank = next(int(os.environ[name]) for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK") if name in os.environ)
batch, times = int(sys.argv[2]), int((sys.argv + ["15"])[3])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=sys.argv[1], rank=rank, world_size=2)
sides = [
    Side("python_none", batch, lambda module: module),
    Side("ddp", batch, DistributedDataParallel),
    Side("views", batch, lambda module: DistributedDataParallel(module, gradient_as_bucket_view=True)),
    Side("views_4", batch,
         lambda module: DistributedDataParallel(module, gradient_as_bucket_view=True, bucket_cap_mb=4)),
]
for k in range(-3, times):  # a turn is one step of each, as in rank.cpp
    for side in sides:
        dist.barrier()
        begin = time.perf_counter()
        side.step()
        if k >= 0:
            side.times.append((time.perf_counter() - begin) * 1e6)
for side in sides:
    taken = torch.tensor(side.times, dtype=torch.float64)
    dist.all_reduce(taken, dist.ReduceOp.MAX)
    if rank == 0:
        print(side.name, side.size, f"{taken.median().item():.1f}", flush=True)
dist.barrier()
os._exit(0)  # where several modules have one process group, its threads end in std::terminate now and then

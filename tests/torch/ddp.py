"""Trains the modules of modules.hpp with PyTorch's DistributedDataParallel on Gloo, two processes, from where ddp.cpp
began, and compares: weights after fifty steps of SGD with momentum, norm-wise, and losses under Adam.

ddp.py FOLDER: what `test_torch --run_test=torch_ddp -- --write FOLDER` has written.
"""

import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

STEPS, BATCH, RANKS = 50, 8, 2


def numbers(sizes, name):
    count = 1
    for n in sizes:
        count *= n
    return torch.sin(torch.arange(count, dtype=torch.float64) * .7 + name).reshape(sizes).float()


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 1, bias=False), nn.Linear(24, 3)

    def forward(self, step, begin, end):
        x, wanted = numbers((8, 1, 6, 6), step)[begin:end], torch.arange(8).remainder(3)[begin:end]
        x = F.max_pool2d(F.relu(self.second(F.relu(self.first(x)))), 2)
        return F.cross_entropy(self.last(x.flatten(1)), wanted)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.attention = nn.Embedding(11, 8), nn.MultiheadAttention(8, 2)
        self.before, self.after = nn.LayerNorm(8), nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)
        self.head = self.embedding.weight

    def forward(self, step, begin, end):
        text = (torch.arange(8 * 6).reshape(8, 6) * (step + 3)).remainder(11)[begin:end]
        x = self.embedding(text[:, :5]).transpose(0, 1)
        n = self.before(x)
        x = x + self.attention(n, n, n)[0]
        x = x + self.narrow(F.gelu(self.wide(self.after(x))))
        return F.cross_entropy(F.linear(x, self.head).reshape(-1, 11), text[:, 1:].transpose(0, 1).reshape(-1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.always, self.sometimes, self.never = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, step, begin, end):
        x, total = numbers((8, 3), step), 0
        for row in range(begin, end):
            total = total + torch.tanh(self.always(x[row])).pow(2).sum()
            if row >= 4 and step % 2 == 1:
                total = total + torch.tanh(self.sometimes(x[row])).sum()
        return total / (end - begin)


def trained(make, lines, optimizer, rank):
    module = make()
    with torch.no_grad():
        for name, p in module.named_parameters(remove_duplicate=False):
            p.copy_(torch.tensor(lines["initial." + name], dtype=torch.float64).reshape(p.shape).float())
    ddp = DistributedDataParallel(module, find_unused_parameters=make is Branching)
    descends, losses = optimizer(module.parameters()), []
    for step in range(STEPS):
        descends.zero_grad()
        loss = ddp(step, BATCH // RANKS * rank, BATCH // RANKS * (rank + 1))
        losses.append(loss.item())
        loss.backward()
        descends.step()
    return torch.cat([p.detach().double().reshape(-1) for _, p in module.named_parameters(remove_duplicate=False)]), losses


def run(rank, folder, rendezvous, failures):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + rendezvous, rank=rank, world_size=RANKS)

    def check(good, text):
        failures.value += not good
        print("ok" if good else "not ok", f"DistributedDataParallel of torch {torch.__version__}:", text, flush=True)

    for make in Convolutional, Transformer, Branching:
        name = make.__name__.lower()
        with open(os.path.join(folder, name + ".txt")) as file:
            lines = {words[0]: list(map(float, words[1:])) for words in map(str.split, file)}
        weights, _ = trained(make, lines, lambda p: torch.optim.SGD(p, .05, momentum=.9), rank)
        ours = torch.tensor(lines["sgd"], dtype=torch.float64)
        away = ((ours - weights).norm() / weights.norm()).item()
        _, losses = trained(make, lines, lambda p: torch.optim.Adam(p, .01), rank)
        apart = max(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(lines[f"losses.{rank}"], losses, strict=True))
        worst = torch.tensor([away, apart], dtype=torch.float64)
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        away, apart = worst.tolist()
        if rank == 0:
            check(away <= 1e-5, f"{name}: weights after {STEPS} steps are {away:.2g} apart (at most 1e-5)")
            check(apart <= 1e-3, f"{name}: losses under Adam are {apart:.2g} apart (at most 1e-3)")
    dist.destroy_process_group()


if __name__ == "__main__":
    folder = os.path.realpath(sys.argv[1])
    meeting = os.path.join(folder, "rendezvous")
    if os.path.exists(meeting):
        os.remove(meeting)
    failed = processes.get_context("spawn").Value("i", 0)
    processes.spawn(run, (folder, meeting, failed), RANKS)
    sys.exit(failed.value > 0)

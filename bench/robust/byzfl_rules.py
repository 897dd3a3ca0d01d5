# byzfl_rules.py N LENGTH F: seconds of ByzFL's rules over N contributions of LENGTH floats, on one thread.
import sys
import time

import torch
from byzfl import GeometricMedian, Krum, Median, TrMean

n, length, f = (int(word) for word in sys.argv[1:])
torch.set_num_threads(1)
torch.manual_seed(1)
crowd = torch.rand(n, length) * 2 - 1
rules = {
    "median": Median(),
    "trimmed mean": TrMean(f=f),
    "krum": Krum(f=f),
    "geometric median": GeometricMedian(),
}
for name, rule in rules.items():
    rule(crowd[:, :1000])
    begin = time.perf_counter()
    rule(crowd)
    print(f"{name}: {time.perf_counter() - begin}")

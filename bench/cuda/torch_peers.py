"""What PyTorch takes for what tutti's kernels do, where it is importable and sees a GPU: lines "SECONDS NAME", the
names those of the benchmark. Nothing where it is not. The median of 20 runs on 2**26 values."""
try:
    import torch
except ImportError:
    raise SystemExit
if not torch.cuda.is_available():
    raise SystemExit

n = 1 << 26


def seconds(work):
    for _ in range(3):
        work()
    times = []
    for _ in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3)
    return sorted(times)[len(times) // 2]


rows = torch.rand(8, n, device="cuda") - 0.5
weights = torch.full((8,), 1 / 8, device="cuda")
out = torch.empty(n, device="cuda")
half = torch.empty(n, device="cuda", dtype=torch.bfloat16)
memory = torch.zeros(n, device="cuda")


def cast_with_memory():
    torch.add(rows[0], memory, out=out)
    half.copy_(out)
    torch.sub(out, half, out=memory)
    rows[0].copy_(half)


for name, work in {
    "sum of 8, float": lambda: torch.sum(rows, 0, out=out),
    "weighted mean of 8, float": lambda: torch.matmul(weights, rows, out=out),
    "median of 8, float": lambda: torch.median(rows, 0),
    "norm, float": lambda: torch.linalg.vector_norm(rows[0]),
    "cast to bfloat16, encode, error feedback": cast_with_memory,
    "top_k of .01": lambda: torch.topk(rows[1].abs(), n // 100, sorted=False),
}.items():
    print(f"{seconds(work):.9f} {name}", flush=True)

# torch_codecs.py LENGTH: seconds that PyTorch takes for what codecs do to LENGTH floats, on one thread.
import sys
import time

import torch

n = int(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(1)
values = (torch.rand(n) - 0.5) * torch.rand(n)
memory = torch.zeros(n)
k = n // 100
block = 256
scaled = torch.empty(n // block, block)


def top_k():
    at = values.abs().topk(k, sorted=False).indices
    return at, values[at]


def top_k_by_sampling():
    sizes = values.abs()
    few = sizes[torch.randint(n, (n // 100,))]
    at = (sizes > few.topk(max(k // 100, 1), sorted=False).values.min()).nonzero().squeeze(1)
    return at, values[at]


def top_k_with_memory():
    whole = torch.add(values, memory, out=scaled.view(-1))
    at = whole.abs().topk(k, sorted=False).indices
    sent = whole[at]
    memory.copy_(whole)
    memory[at] = 0
    return at, sent


levels = torch.empty(n // block, block, dtype=torch.int8)


def int8_block():
    rows = values.view(-1, block)
    scales = torch.linalg.vector_norm(rows, float("inf"), dim=1, keepdim=True) / 127
    levels.copy_(torch.mul(rows, 1 / scales, out=scaled).round_())
    return levels, scales


def sign_block():
    bits = torch.signbit(values).view(torch.int64)  # eight bytes of one bit each
    bits.mul_(0x0102040810204080).bitwise_right_shift_(56)
    return bits.to(torch.uint8), torch.linalg.vector_norm(values.view(-1, block), 1, dim=1) / block


def cast_bfloat16():
    return values.to(torch.bfloat16)


matrix = values.clone().view(2048, -1)
error, whole, sent = (torch.zeros_like(matrix) for _ in range(3))
right = torch.rand(matrix.shape[1], 2) - 0.5


def power_sgd():
    torch.add(matrix, error, out=whole)
    left = torch.linalg.qr(whole @ right)[0]
    factor = whole.t() @ left
    torch.matmul(left, factor.t(), out=sent)
    torch.sub(whole, sent, out=error)
    return sent


codecs = {
    "cast<bfloat16>": cast_bfloat16,
    "int8_block": int8_block,
    "sign_block": sign_block,
    "top_k 1 %": top_k,
    "top_k 1 % by sampling": top_k_by_sampling,
    "top_k 1 % with error feedback": top_k_with_memory,
    "power_sgd 2": power_sgd,
}
for name, work in codecs.items():
    work()
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    print(f"{name}: {sorted(times)[1]}")

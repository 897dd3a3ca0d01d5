"""Reads what the case a_checkpoint_for_other_tools of checkpoint.cpp has written.

checkpoint.py FOLDER: of three ranks after six steps, in the middle of a period.
"""

import sys

import numpy
import safetensors

SHAPES = {"a": [3, 4], "b": [5], "none": [0], "c": [2, 20]}
STEPS = 6


def values(name, plus, dtype=numpy.float32):
    """Those of one tensor: each says whose it is."""
    shape = SHAPES[name]
    count = numpy.prod(shape, dtype=int)
    return (ord(name[0]) * 1000 + STEPS + plus + 10 * numpy.arange(count)).astype(dtype).reshape(shape)


wanted_model = {name: values(name, 0) for name in SHAPES}
wanted_state = {"steps": numpy.array(STEPS), "rate": numpy.array(0.1 * STEPS), "apart": numpy.array(1),
                "skipped": 100 * STEPS + numpy.arange(3)}
for name in SHAPES:
    wanted_state[f"m/{name}"] = values(name, 0.125)
    wanted_state[f"agreed/{name}"] = values(name, 0.25, numpy.float64)
    wanted_state[f"own/{name}"] = numpy.stack([values(name, 0.5 + rank / 16) for rank in range(3)])
    wanted_state[f"replicas/{name}"] = numpy.stack([values(name, rank) for rank in range(3)])

failures = 0
for file, wanted in ("model", wanted_model), ("state", wanted_state):
    with safetensors.safe_open(f"{sys.argv[1]}/{file}.safetensors", framework="np") as read:
        good = set(read.keys()) == set(wanted)
        for name in set(read.keys()) & set(wanted):
            found = read.get_tensor(name)
            good = good and found.dtype == wanted[name].dtype and numpy.array_equal(found, wanted[name])
    failures += not good
    print("ok" if good else "not ok", f"checkpoint: Python reads {len(wanted)} tensors of {file}.safetensors")
sys.exit(failures != 0)

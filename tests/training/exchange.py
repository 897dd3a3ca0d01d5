"""Reads what exchange.cpp has written with the reference implementation, and writes the same for it.

exchange.py BY_TUTTI BY_PYTHON CORPUS: a file that was written, one to write, and what the fuzz test kept.
"""

import ctypes
import struct
import sys

import safetensors

by_tutti, by_python, corpus = sys.argv[1:]
failures = 0


def check(good, text):
    global failures
    failures += not good
    print("ok" if good else "not ok", "safetensors:", text)


TYPES = dict(BOOL="bool", U8="uint8", I8="int8", I16="int16", U16="uint16", F16="float16", BF16="bfloat16",
             I32="int32", U32="uint32", F32="float32", F64="float64", I64="int64", U64="uint64")
SIZES = dict(BOOL=1, U8=1, I8=1, I16=2, U16=2, F16=2, BF16=2, I32=4, U32=4, F32=4, F64=8, I64=8, U64=8)
SHAPES = {"matrix": [2, 3], "scalar": [], "none": [0], 'flat "none"\n': [2, 0], "\u20ac": [1, 4, 2]}
METADATA = {"note": '\u00e9 "\\/\n\x01 end'}

wanted = {}
for dtype in TYPES:
    for kind, shape in SHAPES.items():
        size = SIZES[dtype]
        for n in shape:
            size *= n
        name = f"{dtype}.{kind}"
        most = 2 if dtype == "BOOL" else 251
        data = bytes((7 * k + len(name.encode())) % most for k in range(size))
        wanted[name] = dtype, shape, data

written = open(by_tutti, "rb").read()
read = {name: (t["dtype"], t["shape"], bytes(t["data"])) for name, t in safetensors.deserialize(written)}
check(read == wanted, f"Python reads all {len(wanted)} tensors that tutti has written")

with safetensors.safe_open(by_tutti, framework="np") as file:
    same = file.metadata() == METADATA
    for name, (dtype, shape, data) in wanted.items():
        if dtype != "BF16":  # which numpy has not
            values = file.get_tensor(name)
            same = same and (values.dtype.name, list(values.shape), values.tobytes()) == (TYPES[dtype], shape, data)
check(same, "and safe_open its metadata and numpy arrays")

buffers = {name: ctypes.create_string_buffer(data, max(len(data), 1)) for name, (_, _, data) in wanted.items()}
specs = {name: safetensors.TensorSpec(dtype=TYPES[dtype], shape=shape, data_len=len(data),
                                      data_ptr=ctypes.addressof(buffers[name]))
         for name, (dtype, shape, data) in wanted.items()}
safetensors.serialize_file(specs, by_python, METADATA)
check(open(by_python, "rb").read() == written, "Python writes the same bytes")

# The other way round it may differ: tutti refuses names that are there twice, and types it does not know.
kept = open(corpus, "rb").read()
at = taken = refused = stricter = 0
while at < len(kept):
    (length,) = struct.unpack_from("<Q", kept, at)
    ours, data = kept[at + 8], kept[at + 9:at + 9 + length]
    at += 9 + length
    try:
        safetensors.deserialize(data)
        taken += ours
        stricter += not ours
    except safetensors.SafetensorError as error:
        refused += not ours
        if ours:
            check(False, f"tutti takes what Python refuses, {error}: {data[:400]}")
check(taken >= 1000 and refused >= 1000 and stricter * 100 < taken,
      f"of files that are almost right both take {taken} and refuse {refused}, tutti alone refuses {stricter}")
sys.exit(failures != 0)

"""digits.py FILE MNIST ACCURACY: the share of MNIST's test images that the model in FILE knows in ONNX Runtime is
ACCURACY, but for one image in two thousand, as sums are added up in other orders. MNIST is the folder of its files."""
import gzip
import pathlib
import sys

import numpy
import onnxruntime

file, mnist, wanted = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3])
images = numpy.frombuffer(gzip.decompress((mnist / "t10k-images-idx3-ubyte.gz").read_bytes()), numpy.uint8, offset=16)
labels = numpy.frombuffer(gzip.decompress((mnist / "t10k-labels-idx1-ubyte.gz").read_bytes()), numpy.uint8, offset=8)
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
takes = session.get_inputs()[0]
x = (images.astype(numpy.float32) / 255).reshape([len(labels)] + takes.shape[1:])
known = session.run(None, {takes.name: x})[0].argmax(1) == labels
right = abs(known.mean() - wanted) <= 5e-4
print(f"accuracy {known.mean():.4f} in ONNX Runtime, {wanted:.4f} where it was trained")
sys.exit(not right)

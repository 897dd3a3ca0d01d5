"""tensorrt.py FOLDER: TensorRT for RTX parses every case below FOLDER and builds an engine of it, which takes no GPU.
Ends with an error where it does not, or where it says that a number was clamped to 32 bits."""
import pathlib
import sys

import onnx
import tensorrt_rtx as trt


class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.said = []

    def log(self, severity, text):
        if severity <= trt.ILogger.WARNING:
            self.said.append(text)


def engine_of(model, shapes, log):
    """The bytes of an engine, for inputs from a single example to four times as large as the first data set."""
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise ValueError("; ".join(parser.get_error(k).desc() for k in range(parser.num_errors)))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for k in range(network.num_inputs):
        tensor = network.get_input(k)
        usual = shapes[k]
        open_sizes = [size < 0 for size in tensor.shape]
        smallest = [1 if open_size else size for open_size, size in zip(open_sizes, usual)]
        largest = [4 * size if open_size else size for open_size, size in zip(open_sizes, usual)]
        profile.set_shape(tensor.name, smallest, usual, largest)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ValueError("no engine: " + "; ".join(log.said[-2:]))
    return bytes(engine)


# What TensorRT says it does not have, of what ONNX has: it has to say so.
beyond = {"max_pool2d_dilated": "does not support dilations"}
wrong = built = 0
for path in sorted(pathlib.Path(sys.argv[1]).rglob("model.onnx")):
    log = Log()
    data = path.parent / "test_data_set_0"
    shapes = [list(onnx.load_tensor(data / f"input_{k}.pb").dims) for k in range(len(list(data.glob("input_*.pb"))))]
    try:
        assert len(engine_of(path.read_bytes(), shapes, log)) > 1000, "an engine of few bytes"
        assert not any("clamp" in text.lower() for text in log.said), "; ".join(log.said)
        built += 1
        assert path.parent.name not in beyond, "TensorRT has it by now: take it off the list"
    except Exception as error:  # whatever it is, it is counted and named
        if beyond.get(path.parent.name, "no such sentence") in str(error):
            continue
        wrong += 1
        print(f"not ok {path.parent.relative_to(sys.argv[1])}: {str(error).splitlines()[0][:300]}")
try:
    engine_of(b"no model", [], Log())
    print("not ok: it parses anything")
    wrong += 1
except ValueError:
    pass
print(f"{built} engines by TensorRT for RTX {trt.__version__}; {wrong} wrong")
sys.exit(wrong != 0 or built == 0)

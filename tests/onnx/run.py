"""run.py FOLDER: every case below FOLDER, in the layout of ONNX's test data, goes through ONNX's checker and ONNX
Runtime; outputs agree with those that are kept there within 1e-5. Ends with an error where one does not."""
import pathlib
import sys

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

wrong = checked = 0
worst = 0.0
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
for path in sorted(pathlib.Path(sys.argv[1]).rglob("model.onnx")):
    case = str(path.parent.relative_to(sys.argv[1]))
    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        sets = sorted(path.parent.glob("test_data_set_*"))
        assert sets, "it has no data"
        for data in sets:
            read = lambda what: [numpy_helper.to_array(onnx.load_tensor(data / f"{what}_{k}.pb"))
                                 for k in range(len(list(data.glob(f"{what}_*.pb"))))]
            names = [each.name for each in session.get_inputs()]
            got = session.run(None, dict(zip(names, read("input"))))
            wanted = read("output")
            assert len(got) == len(wanted), f"{len(got)} outputs"
            for a, b in zip(got, wanted):
                assert a.shape == b.shape, f"{data.name}: {a.shape} for {b.shape}"
                assert a.dtype == b.dtype, f"{data.name}: {a.dtype} for {b.dtype}"
                size = max(float(numpy.abs(b).max(initial=0)), 1e-6)
                off = float(numpy.abs(a - b).max(initial=0)) / size
                assert off <= 1e-5, f"{data.name}: off by {off:.3g} of the largest"
                worst = max(worst, off)
        checked += 1
    except Exception as error:  # whatever it is, it is counted and named
        wrong += 1
        print(f"not ok {case}: {str(error).splitlines()[0]}")
print(f"{checked} modules in ONNX Runtime {onnxruntime.__version__}, off by {worst:.1e} at most; {wrong} wrong")
sys.exit(wrong != 0 or checked == 0)

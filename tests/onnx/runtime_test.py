"""What export writes holds elsewhere: onnx.checker finds nothing, and onnxruntime gives the same numbers.

runtime_test.py PYTHON NODE_CASE EXAMPLE_EXPORT DATA: PYTHON has onnx and onnxruntime; the models are the backend tests
of DATA (see node_test.py) after import and export, and the examples. Exit code 77 (skipped) without them.
"""

import collections
import glob
import os
import subprocess
import sys
import tempfile


# onnxruntime puts the last corner at the rounded extent, ONNX and its tests at the one that the scale gives.
DIFFERENT = ("resize_downsample_scales_cubic_align_corners", "resize_downsample_scales_linear_align_corners")


def same(actual, wanted, rtol, atol):
    import numpy
    if actual.shape != wanted.shape:
        return f"shape {actual.shape} instead of {wanted.shape}"
    a, w = actual.astype("f8"), wanted.astype("f8")
    with numpy.errstate(invalid="ignore"):
        close = (a == w) | (numpy.abs(a - w) <= atol + rtol * numpy.abs(w)) | (numpy.isnan(a) & numpy.isnan(w))
    return None if close.all() else f"differs by {numpy.abs(a - w)[~close].max():.2e}"


class Check:
    def __init__(self):
        self.counts, self.failures = collections.Counter(), []

    def run(self, name, path, feed, wanted, rtol, atol):
        import onnx
        import onnxruntime
        try:
            model = onnx.load(path)
            onnx.checker.check_model(model, full_check=True)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            out = session.run(None, feed(session))
        except Exception as error:
            if "NOT_IMPLEMENTED" in str(error):  # onnxruntime lacks the operator for the type
                self.counts["not in onnxruntime"] += 1
                return
            self.failures.append(f"{name}: {error}")
            return
        for k, (a, w) in enumerate(zip(out, wanted, strict=True)):
            off = same(a, w, rtol, atol)
            if off:
                self.failures.append(f"{name}: output {k}: {off}")
                return
        self.counts["right"] += 1


TYPES = {"tensor(float)": "f4", "tensor(int32)": "i4", "tensor(int64)": "i8", "tensor(uint8)": "u1", "tensor(bool)": "?"}


def check_examples(check, exporter, directory):
    import numpy
    subprocess.run([exporter, directory], check=True)
    for path in sorted(glob.glob(directory + "/*.onnx")):
        base = path.removesuffix(".onnx")

        def feed(session):
            return {x.name: numpy.fromfile(f"{base}.in.{k}", "<f8").reshape([3 if isinstance(d, str) else d for d in x.shape]).astype(TYPES[x.type])
                    for k, x in enumerate(session.get_inputs())}

        def wanted():
            import onnx
            for k, y in enumerate(onnx.load(path).graph.output):
                dims = [d.dim_value if d.HasField("dim_value") else 3 * int((d.dim_param.split("*")[0:-1] or ["1"])[0])
                        for d in y.type.tensor_type.shape.dim]
                yield numpy.fromfile(f"{base}.out.{k}", "<f8").reshape(dims)
        check.run(os.path.basename(base), path, feed, list(wanted()), 1e-4, 1e-5)


def check_cases(check, runner, data, directory):
    import onnx
    from onnx import numpy_helper
    for release in sorted(os.listdir(data)):
        root, out = os.path.join(data, release), os.path.join(directory, release)
        os.mkdir(out)
        folders = [os.path.join(root, f) for f in sorted(os.listdir(root)) if "training_dropout" not in f]
        for first in range(0, len(folders), 100):
            subprocess.run([runner, "--export", out, *folders[first:first + 100]], stdout=subprocess.DEVNULL, check=True)
        for path in sorted(glob.glob(out + "/*.onnx")):
            case = os.path.join(root, os.path.basename(path).removesuffix(".onnx"))
            if case.endswith(DIFFERENT):
                continue
            declared = onnx.load(case + "/model.onnx").graph
            names = [i.name for i in declared.input]

            def tensor(kind, k):
                proto = onnx.TensorProto()
                with open(f"{case}/test_data_set_0/{kind}_{k}.pb", "rb") as file:
                    proto.ParseFromString(file.read())
                array = numpy_helper.to_array(proto)
                said = (declared.input if kind == "input" else declared.output)[k].type.tensor_type.elem_type
                if said == onnx.TensorProto.BFLOAT16 and array.dtype.name == "uint16":
                    array = (array.astype("u4") << 16).view("f4")
                return array.astype("f4") if array.dtype.name in ("bfloat16", "float16") else array
            count = len(glob.glob(f"{case}/test_data_set_0/output_*.pb"))
            wanted = [tensor("output", k) for k in range(count)]
            check.run(f"{release} {os.path.basename(case)}", path,
                      lambda s: {x.name: tensor("input", names.index(x.name)).astype(TYPES[x.type]) for x in s.get_inputs()},
                      wanted, 1e-3, 1e-5)


def main():
    if sys.argv[1] != "--check":
        probe = "import onnx, onnxruntime, numpy"
        python = sys.argv[1]
        if not os.path.exists(python) or subprocess.run([python, "-c", probe], stderr=subprocess.DEVNULL).returncode != 0:
            print("skipped: no onnxruntime; scripts/setup fetches it")
            sys.exit(77)
        sys.exit(subprocess.run([python, "-B", __file__, "--check", *sys.argv[2:]]).returncode)
    check = Check()
    with tempfile.TemporaryDirectory() as directory:
        check_examples(check, sys.argv[3], directory)
        if os.path.isdir(sys.argv[4]):
            check_cases(check, sys.argv[2], sys.argv[4], directory)
        else:
            print("only the examples: the backend tests are not there")
    print(", ".join(f"{n} {word}" for word, n in sorted(check.counts.items())))
    for failure in check.failures:
        print(failure[:300])
    sys.exit(1 if check.failures or check.counts["right"] == 0 else 0)


if __name__ == "__main__":
    main()

"""Exported networks give the same numbers elsewhere: in onnxruntime, or else in the reference evaluator of onnx.

Called with the exporter's path. Exit code 77 (skipped) where no Python of this machine has one of the two.
"""

import array
import os
import shutil
import subprocess
import sys
import tempfile

COUNT, SHAPE = 5, (3, 12, 11)


def evaluator(path):
    try:
        import onnxruntime
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return "onnxruntime", lambda x: session.run(["probabilities"], {"input": x})[0]
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator
        model = ReferenceEvaluator(onnx.load(path))
        return "onnx", lambda x: model.run(["probabilities"], {"input": x})[0]


def check(directory):
    import numpy
    for name in ("mlp", "photo_net", "old_net"):
        which, run = evaluator(os.path.join(directory, name + ".onnx"))
        given = numpy.fromfile(os.path.join(directory, name + ".in"), dtype="<f4").reshape((COUNT,) + SHAPE)
        wanted = numpy.fromfile(os.path.join(directory, name + ".out"), dtype="<f4").reshape(COUNT, -1)
        difference = float(abs(run(given) - wanted).max())
        single = float(abs(run(given[:1]) - wanted[:1]).max())
        print(f"{name}: {which} differs by {difference:.2e}, one at a time by {single:.2e}")
        if not (difference < 1e-5 and single < 1e-5):
            sys.exit(1)


def usable(python):
    probe = "import numpy\ntry:\n import onnxruntime\nexcept ImportError:\n import onnx.reference"
    return subprocess.run([python, "-c", probe], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def main():
    if sys.argv[1] == "--check":
        return check(sys.argv[2])
    root = os.path.dirname(os.path.abspath(__file__)).rsplit("/tests/", 1)[0]
    places = (f"{root}/build/venv/bin/python", sys.executable, shutil.which("python3"), "/usr/bin/python3")
    pythons = [place for place in places if place and os.path.exists(place)]
    python = next((p for p in pythons if usable(p)), None)
    if python is None:
        print("skipped: no Python here has onnxruntime or onnx")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.argv[1], directory], check=True)
        sys.exit(subprocess.run([python, __file__, "--check", directory]).returncode)


if __name__ == "__main__":
    main()

"""The jobs of configs/jobs reach the accuracy that they promise."""

import json
import unittest

import harness


class Accuracy(harness.Workspace):
    def train(self, job, *settings, timeout):
        output = self.path / "out"
        arguments = [part for setting in (*settings, f"output.path={output}") for part in ("--set", setting)]
        self.expect(0, "run", harness.ROOT / "configs" / "jobs" / job, *arguments, timeout=timeout)
        self.assert_bundle(output)
        return json.loads((output / "metrics.json").read_text())

    def test_drawn_flowers(self):
        """The quickstart's job on the quickstart's pictures, fewer epochs."""
        metrics = self.train("flowers.yaml", f"data.source.path={self.pictures(60)}", "train.epochs=25", timeout=170)
        self.assertGreaterEqual(metrics["test"]["accuracy"], 0.6)

    def test_mnist(self):
        data = harness.need_shared("mnist")
        metrics = self.train("mnist_mlp.yaml", f"data.source.path={data}", timeout=240)
        self.assertGreaterEqual(metrics["test"]["accuracy"], 0.97)

    def test_real_flowers(self):
        data = harness.need_shared("flowers")
        metrics = self.train("flowers.yaml", f"data.source.path={data}", timeout=1000)
        self.assertGreaterEqual(metrics["test"]["accuracy"], 0.60)

    def test_real_flowers_fine_tuned(self):
        """A head on a frozen network that knows a thousand other things."""
        data = harness.need_shared("flowers")
        onnx = harness.SHARED / "models" / "mobilenet_v2_100_224.onnx"
        if not onnx.is_file():
            raise unittest.SkipTest(f"no network at {onnx}")
        metrics = self.train("fine_tune.yaml", f"data.source.path={data}", f"model.onnx={onnx}", timeout=600)
        self.assertGreaterEqual(metrics["test"]["accuracy"], 0.85)


if __name__ == "__main__":
    harness.main()

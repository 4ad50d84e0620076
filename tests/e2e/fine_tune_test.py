"""A network from an ONNX file goes on training: another head, frozen tensors, a bundle that stands alone."""

import json
import shutil
import struct

import harness

JOB = """\
name: {name}
cluster:
  trainers: 2
  parameter_servers: 2
  resources:
    trainer: {{cpus: 0.5, memory: 512MiB}}
    ps: {{cpus: 0.25, memory: 256MiB}}
data:
  source: {{kind: images, path: {data}}}
  split: {{train: 0.7, validation: 0.1, test: 0.2, seed: 3}}
  transform: [{{resize: [32, 32]}}, {{flip: horizontal}}, {{normalize: imagenet}}]
  batch_size: 16
model: {model}
train:
  epochs: {epochs}
  optimizer: {{kind: sgd, learning_rate: 0.02, momentum: 0.9}}
  parameters: {parameters}
output: {{path: {output}}}
"""
HEAD_ALONE = '[{match: "*", freeze: true}, {match: "head.*", freeze: false, learning_rate: 10}]'


def tensors(bundle):
    """name -> bytes"""
    data = (bundle / "weights.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    body = data[8 + length:]
    return {name: body[slice(*info["data_offsets"])] for name, info in json.loads(data[8:8 + length]).items()
            if name != "__metadata__"}


class FineTune(harness.Workspace):
    def file(self, name, data, model, parameters="[]", epochs=4):
        file = self.path / f"{name}.yaml"
        file.write_text(JOB.format(name=name, data=data, model=model, epochs=epochs, parameters=parameters,
                                   output=self.path / "out" / name))
        return file

    def setUp(self):
        super().setUp()
        self.data = self.pictures()
        self.expect(0, "run", self.file("first", self.data, "{preset: resnet20}"))
        self.onnx = self.path / "first.onnx"
        shutil.copy(self.path / "out" / "first" / "model.onnx", self.onnx)
        self.two = self.path / "two"
        for kind in sorted(folder.name for folder in self.data.iterdir())[:2]:
            shutil.copytree(self.data / kind, self.two / kind)

    def test_the_head_learns_other_classes_while_the_rest_keeps_every_bit(self):
        done = self.expect(0, "run", self.file("tuned", self.two, "{onnx: first.onnx}", HEAD_ALONE, epochs=8))
        self.assertIn("SUCCEEDED", done.stdout)
        bundle = self.path / "out" / "tuned"
        self.assert_bundle(bundle)
        before, after = tensors(self.path / "out" / "first"), tensors(bundle)
        self.assertEqual(set(after) - set(before), {"head.weight", "head.bias"})
        self.assertEqual(len(after["head.weight"]), 2 * 64 * 4)
        changed = [name for name in after if name in before and after[name] != before[name]]
        self.assertEqual(changed, [])
        self.assertGreater(len(after), 60)
        # The bundle needs the file no more with which it began.
        self.onnx.unlink()
        result = json.loads(self.expect(0, "evaluate", bundle, "--data", self.two, "-o", "json").stdout)
        self.assertEqual(result["count"], 48)
        self.assertGreater(result["accuracy"], 0.6)
        lines = self.path / "lines.jsonl"
        self.expect(0, "predict", bundle, self.two, "-o", lines)
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        hits = sum(f"/{row['top'][0]['label']}/" in row["input"] for row in rows)
        self.assertAlmostEqual(hits / len(rows), result["accuracy"], places=9)
        self.assertIn("[N, 2]", self.expect(0, "inspect", bundle).stdout)

    def test_everything_goes_on_training_from_the_weights_of_the_file(self):
        bundle = self.path / "out" / "on"
        self.expect(0, "run", self.file("on", self.data, "{onnx: first.onnx, head: keep}", epochs=1))
        first = json.loads((self.path / "out" / "first" / "metrics.json").read_text())["last_epoch"]
        on = json.loads((bundle / "metrics.json").read_text())["last_epoch"]
        self.assertLess(on["train/loss"], first["train/loss"])
        before, after = tensors(self.path / "out" / "first"), tensors(bundle)
        self.assertEqual(set(before), set(after))
        self.assertTrue(all(after[name] != before[name] for name in after))

    def test_what_does_not_fit_is_named(self):
        for model, code, needle in (
                ("{onnx: none.onnx}", 2, "none.onnx: there is no such file"),
                ("{onnx: first.onnx, preset: lenet5}", 2, "one of them"),
                ("{preset: lenet5, head: keep}", 2, "is an option of onnx"),
                ("{onnx: first.onnx, head: keep}", 1, "the data have 2 classes"),
                ("{onnx: first.onnx, head: nowhere}", 1, "no value 'nowhere'")):
            done = self.expect(code, "run", self.file("wrong", self.two, model))
            self.assertIn(needle, done.stdout + done.stderr)
        (self.path / "cut.onnx").write_bytes(self.onnx.read_bytes()[:5000])
        done = self.expect(1, "run", self.file("wrong", self.two, "{onnx: cut.onnx}"))
        self.assertIn("cut.onnx: ", done.stdout + done.stderr)
        done = self.expect(1, "run", self.file("wrong", self.two, "{onnx: first.onnx}", '[{match: "had.*", freeze: true}]'))
        self.assertIn("head.", done.stdout + done.stderr)

    def test_a_file_is_inspected_with_its_own_input_or_another(self):
        self.assertIn("[N, 5]", self.expect(0, "inspect", self.onnx).stdout)
        seen = json.loads(self.expect(0, "inspect", self.onnx, "--input", "3x32x32", "--classes", 7, "-o", "json").stdout)
        self.assertIn("[N, 3, 32, 32]", json.dumps(seen))
        self.assertIn("[N, 7]", json.dumps(seen))
        self.expect(2, "inspect", self.onnx, "--input", "3x20x20", "--classes", 7)
        self.assertIn("there is no such file", self.expect(4, "inspect", "nothing.onnx").stderr)


if __name__ == "__main__":
    harness.main()

"""Trainings in 16 bits by a gang: one white picture is too bright for fp16, and its batch alone is left out."""

import csv
import json
import random
import struct

import harness

JOB = """\
name: {{name}}
cluster:
  trainers: 2
  parameter_servers: 1
  resources: {{{{trainer: {{{{cpus: 0.5, memory: 512MiB}}}}, ps: {{{{cpus: 0.25, memory: 256MiB}}}}}}}}
data:
  source: {{{{kind: mnist, path: {{data}}}}}}
  split: {{{{train: 1, validation: 0, test: 0, seed: 7}}}}
  transform: [{{{{normalize: {{{{mean: [0], deviation: [0.00001]}}}}}}}}]
  batch_size: 8
model:
  layers:
    - conv2d: {{{{filters: 8, kernel: 3}}}}
    - batch_norm: {{{{}}}}
    - relu: {{{{}}}}
    - flatten: {{{{}}}}
    - dense: {{{{units: 10}}}}
train:
  epochs: {{epochs}}
  optimizer: {{{{kind: sgd, learning_rate: 0.02, momentum: 0.9}}}}
  precision: {precision}
output: {{{{path: {{output}}}}}}
"""
EPOCHS, SIDE, TRAIN, TEST = 3, 12, 320, 80
GREY, WHITE = 120, 255  # over the deviation: 47,000 and 100,000; fp16 ends at 65,504


def picture(label, draw):
    """A bright line at the height of its label, in some noise."""
    return bytes(GREY if row == label + 1 else draw.randrange(40) for row in range(SIDE) for _ in range(SIDE))


class Precision(harness.Workspace):
    def digits(self):
        """Files as those of MNIST; the first of the pictures to train on is white."""
        folder = self.path / "digits"
        folder.mkdir(exist_ok=True)
        draw = random.Random(7)
        for part, count in (("train", TRAIN), ("t10k", TEST)):
            pictures = [picture(i % 10, draw) for i in range(count)]
            if part == "train":
                pictures[0] = bytes([WHITE]) * SIDE * SIDE
            (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, SIDE, SIDE) +
                                                               b"".join(pictures))
            # Some labels of the test are wrong, so that its loss is far from 0 and shows what is rounded.
            labels = bytes((i + (part == "t10k" and i % 8 == 0)) % 10 for i in range(count))
            (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)
        return folder

    def train(self, precision):
        """The bundle, the test's accuracy, and how many batches the trainers say that they left out."""
        file = self.job_file(name=precision, epochs=EPOCHS, data=self.digits(), text=JOB.format(precision=precision))
        id = json.loads(self.expect(0, "submit", file, "-o", "json").stdout)["id"]
        self.assertEqual(self.wait_end(id)["state"], "SUCCEEDED")
        bundle = self.path / "out" / precision
        accuracy = json.loads((bundle / "metrics.json").read_text())["accuracy"]
        logs = self.expect(0, "logs", id).stdout
        self.assertNotIn("is not known", logs, "a job without a checkpoint has its list of what was skipped")
        left_out = logs.count("the batch is left out")
        return bundle, accuracy, left_out

    def evaluated(self, bundle, precision):
        done = self.expect(0, "evaluate", bundle, "--data", self.digits(), "--split", "test", "--precision", precision,
                           "-o", "json")
        return json.loads(done.stdout)

    def test_a_gang_trains_in_16_bits(self):
        self.up("--executors", 1, "--cpus", 2)
        for precision, expected in (("bf16", 0), ("fp16", EPOCHS)):
            bundle, accuracy, left_out = self.train(precision)
            self.assertGreater(accuracy, 0.8, precision)
            self.assertEqual(left_out, expected, precision)
            with open(bundle / "history.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            self.assertEqual([row["epoch"] for row in rows], ["1", "2", "3"])
            self.assertEqual("overflows" in rows[0], precision == "fp16")
            wide = self.evaluated(bundle, "fp32")
            self.assertEqual(wide["accuracy"], accuracy, "the bundle's own test is in fp32")
            for other in ("bf16", "fp16"):
                narrow = self.evaluated(bundle, other)
                self.assertEqual(narrow["count"], TEST)
                self.assertNotEqual(narrow["loss"], wide["loss"])
                self.assertAlmostEqual(narrow["loss"], wide["loss"], delta=0.05 * wide["loss"] + 0.01)
            done = self.expect(1, "evaluate", bundle, "--data", self.digits(), "--split", "train", "--precision", "fp16")
            self.assertIn("not finite; its numbers may be too large for this --precision, leave it out", done.stderr)


if __name__ == "__main__":
    harness.main()

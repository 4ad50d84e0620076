"""How a job's update rule is shared out changes nothing: trainers, shards, accumulation, a kill -9 in between."""

import array
import csv
import json
import os
import signal
import struct

import harness

JOB = """\
name: {{name}}
cluster:
  trainers: {trainers}
  parameter_servers: {shards}
  resources:
    trainer: {{{{cpus: 0.5, memory: 512MiB}}}}
    ps: {{{{cpus: 0.25, memory: 256MiB}}}}
strategy: {{{{kind: {strategy}}}}}
data:
  source: {{{{kind: images, path: {{data}}}}}}
  split: {{{{train: 0.8, validation: 0.1, test: 0.1, seed: 7}}}}
  transform: [{{{{resize: [24, 24]}}}}, {{{{flip: horizontal}}}}, {{{{normalize: imagenet}}}}]
  batch_size: {batch}
model:
  layers:
    - conv2d: {{{{filters: 8, kernel: 3}}}}
    - relu: {{{{}}}}
    - max_pool: {{{{size: 4}}}}
    - flatten: {{{{}}}}
    - dropout: {{{{rate: 0.2}}}}
    - dense: {{{{units: 5}}}}
train:
  epochs: {{epochs}}
  {train}
checkpoint: {{{{every: {checkpoint}, keep: 2}}}}
output: {{{{path: {{output}}}}}}
"""


def job(trainers=2, shards=2, batch=8, train="", checkpoint="1s", strategy=None):
    if strategy == "all_reduce":
        shards = 0
    strategy = strategy or ("parameter_server" if shards else "local")
    return JOB.format(trainers=trainers, shards=shards, batch=batch, strategy=strategy, checkpoint=checkpoint,
                      train=train.replace("{", "{{").replace("}", "}}"))


class Optimizer(harness.Workspace):
    def begin(self, name, epochs, **settings):
        file = self.job_file(name=name, epochs=epochs, text=job(**settings))
        return int(self.expect(0, "submit", file).stdout)

    def finish(self, id, name):
        ended = self.wait_end(id)
        self.assertEqual(ended["state"], "SUCCEEDED", ended["cause"])
        return ended, self.path / "out" / name

    def weights(self, folder):
        """name -> floats"""
        data = (folder / "weights.safetensors").read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        out = {}
        for name, info in json.loads(data[8:8 + length]).items():
            if name == "__metadata__":
                continue
            begin, end = info["data_offsets"]
            out[name] = array.array("f", data[8 + length + begin:8 + length + end])
        return out

    def history(self, folder):
        """What does not depend on the clock."""
        with (folder / "history.csv").open() as file:
            return [{key: value for key, value in row.items() if key in ("epoch", "step", "learning_rate")
                     or key.endswith(("/loss", "/accuracy"))} for row in csv.DictReader(file)]

    def assert_near(self, one, other):
        self.assertEqual(one.keys(), other.keys())
        worst = max(abs(a - b) for name in one for a, b in zip(one[name], other[name], strict=True))
        self.assertLess(worst, 1e-5)

    def test_gang_equals_local(self):
        self.up("--executors", 1, "--cpus", 4)
        train = ("optimizer: {kind: adam, learning_rate: 0.002}\n  clip: {norm: 1.0}\n  ema: {decay: 0.9}\n"
                 "  schedule: {kind: one_cycle}")
        results = {}
        for name, settings in (("alone", {"trainers": 1, "shards": 0, "batch": 16}),
                               ("gang", {"trainers": 2, "shards": 2, "batch": 8}),
                               ("accumulated", {"trainers": 2, "shards": 2, "batch": 4,
                                                "train": train + "\n  accumulation: 2"}),
                               ("accumulated-alone", {"trainers": 1, "shards": 0, "batch": 3,
                                                      "train": train + "\n  accumulation: 5"}),
                               ("fifteen", {"trainers": 1, "shards": 0, "batch": 15})):
            id = self.begin(name, 3, **{"train": train, **settings})
            _, folder = self.finish(id, name)
            results[name] = self.weights(folder)
        self.assert_near(results["alone"], results["gang"])
        self.assert_near(results["alone"], results["accumulated"])
        self.assert_near(results["fifteen"], results["accumulated-alone"])
        first = results["alone"]["dense1.weight"]
        self.assertGreater(max(abs(a - b) for a, b in zip(first, results["fifteen"]["dense1.weight"])), 1e-4)

    def test_kill_gives_the_same_bits(self):
        """Every step is an epoch and has a checkpoint, so that one of them is where the next life begins."""
        self.up("--executors", 1, "--cpus", 4)
        settings = {"batch": 64, "checkpoint": "1ms",
                    "train": "optimizer: {kind: adam}\n  clip: {norm: 1.0}\n  ema: {decay: 0.95}\n"
                             "  schedule: {kind: cosine, warmup_steps: 5}"}
        epochs = 150
        undisturbed = self.finish(self.begin("undisturbed", epochs, **settings), "undisturbed")[1]
        id = self.begin("killed", epochs, **settings)
        for victim, epoch in (("ps-1", 30), ("trainer-1", 70), ("trainer-0", 110)):
            running = self.wait_job(id, lambda now: now["state"] == "RUNNING" and now["progress"]["epoch"] >= epoch)
            os.kill(next(task["pid"] for task in running["tasks"] if f"{task['role']}-{task['index']}" == victim),
                    signal.SIGKILL)
            self.wait_job(id, lambda now: now["incarnation"] > running["incarnation"], 30)
        ended, killed = self.finish(id, "killed")
        self.assertEqual(ended["restarts"], 3)
        self.assertEqual((undisturbed / "weights.safetensors").read_bytes(),
                         (killed / "weights.safetensors").read_bytes())
        self.assertEqual([int(row["epoch"]) for row in self.history(killed)], list(range(1, epochs + 1)))
        self.assertEqual(self.history(undisturbed), self.history(killed))

    def test_settings_of_tensors(self):
        self.up("--executors", 1, "--cpus", 4)
        frozen = 'parameters: [{match: "conv1.*", freeze: true}]'
        short = self.weights(self.finish(self.begin("short", 1, train=frozen), "short")[1])
        long = self.weights(self.finish(self.begin("long", 4, train=frozen), "long")[1])
        self.assertEqual(short["conv1.weight"], long["conv1.weight"])
        self.assertNotEqual(short["dense1.weight"], long["dense1.weight"])
        id = self.begin("wrong", 1, train='parameters: [{match: "convolution1.*", freeze: true}]')
        ended = self.wait_end(id)
        self.assertEqual(ended["state"], "FAILED")
        self.assertIn("'convolution1.*' matches no tensor; the nearest are conv1.weight, conv1.bias", ended["cause"])

    def test_early_stop(self):
        """By a metric that the learning rate alone decides: it falls once, and then never again."""
        self.up("--executors", 1, "--cpus", 4)
        id = self.begin("early", 50, train="early_stop: {metric: learning_rate, patience: 3}")
        ended, folder = self.finish(id, "early")
        self.assertLess(len(self.history(folder)), 6)


if __name__ == "__main__":
    harness.main()

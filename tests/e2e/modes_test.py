"""Ways to train that change no bit of the model: with less memory, and with any number of threads."""

import harness

JOB = """\
name: {{name}}
cluster:
  trainers: 1
  parameter_servers: 0
  resources: {{{{trainer: {{{{cpus: {cpus}, memory: 1GiB}}}}}}}}
strategy: {{{{kind: local}}}}
data:
  source: {{{{kind: images, path: {{data}}}}}}
  split: {{{{train: 0.8, validation: 0.1, test: 0.1, seed: 7}}}}
  transform: [{{{{resize: [32, 32]}}}}, {{{{flip: horizontal}}}}, {{{{normalize: imagenet}}}}]
  batch_size: 24
model: {{{{preset: resnet20}}}}
train:
  epochs: {{epochs}}
  {train}
output: {{{{path: {{output}}}}}}
"""


class Modes(harness.Workspace):
    def weights(self, name, cpus, train):
        text = JOB.format(cpus=cpus, train=train)
        self.expect(0, "run", self.job_file(name=name, epochs=2, text=text), "--executors", 1)
        return (self.path / "out" / name / "weights.safetensors").read_bytes()

    def test_threads_and_memory_change_no_bit(self):
        one = self.weights("one", 1, "deterministic: true")
        self.assertEqual(self.weights("two", 2, "deterministic: true"), one)
        plain = self.weights("plain", 1, "seed: 7")
        self.assertEqual(self.weights("low", 1, "memory: low"), plain)


if __name__ == "__main__":
    harness.main()

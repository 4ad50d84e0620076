"""Trainers that sum their gradients in a ring: the model of one trainer and of a gang with shards, the same bits after a
kill -9 of any of them, and an address each that serves metrics as well."""

import os
import signal

import harness
import optimizer_test

TRAIN = "optimizer: {kind: adam, learning_rate: 0.002}\n  clip: {norm: 1.0}\n  ema: {decay: 0.9}"


class AllReduce(harness.Workspace):
    begin = optimizer_test.Optimizer.begin
    finish = optimizer_test.Optimizer.finish
    weights = optimizer_test.Optimizer.weights
    history = optimizer_test.Optimizer.history
    assert_near = optimizer_test.Optimizer.assert_near

    def test_equals_shards_and_local(self):
        self.up("--executors", 1, "--cpus", 4)
        results = {}
        for name, settings in (("alone", {"trainers": 1, "shards": 0, "batch": 48}),
                               ("shards", {"trainers": 2, "shards": 2, "batch": 24}),
                               ("two", {"trainers": 2, "strategy": "all_reduce", "batch": 24}),
                               ("three", {"trainers": 3, "strategy": "all_reduce", "batch": 16}),
                               ("accumulated", {"trainers": 2, "strategy": "all_reduce", "batch": 8,
                                                "train": TRAIN + "\n  accumulation: 3"})):
            id = self.begin(name, 4, **{"train": TRAIN, **settings})
            ended, folder = self.finish(id, name)
            results[name] = self.weights(folder)
            self.assert_bundle(folder)
            self.assertEqual(len(self.history(folder)), 4)
            if settings.get("strategy"):
                self.assertEqual([task["role"] for task in ended["tasks"]], ["trainer"] * settings["trainers"])
        for name in ("shards", "two", "three", "accumulated"):
            self.assert_near(results["alone"], results[name])
        self.assert_near(results["shards"], results["two"])

    def test_kill_gives_the_same_bits(self):
        """Every step is an epoch and has a checkpoint, so that one of them is where the next life begins."""
        self.up("--executors", 1, "--cpus", 4)
        settings = {"trainers": 3, "strategy": "all_reduce", "batch": 43, "checkpoint": "1ms",
                    "train": TRAIN + "\n  schedule: {kind: cosine, warmup_steps: 5}"}
        epochs = 150
        undisturbed = self.finish(self.begin("undisturbed", epochs, **settings), "undisturbed")[1]
        id = self.begin("killed", epochs, **settings)
        for victim, epoch in ((1, 30), (2, 70), (0, 110)):
            running = self.wait_job(id, lambda now: now["state"] == "RUNNING" and now["progress"]["epoch"] >= epoch)
            task = next(task for task in running["tasks"] if task["index"] == victim)
            self.assertIn("trainyard_trainer_steps_total", harness.fetch(task["address"], "/metrics")[1])
            os.kill(task["pid"], signal.SIGKILL)
            self.wait_job(id, lambda now: now["incarnation"] > running["incarnation"], 30)
        ended, killed = self.finish(id, "killed")
        # The others waited to be stopped; nobody takes them for what failed.
        self.assertEqual([event["task"] for event in ended["events"] if event["kind"] == "task_failed"],
                         ["trainer-1", "trainer-2", "trainer-0"])
        self.assertEqual(ended["restarts"], 3)
        self.assertEqual((undisturbed / "weights.safetensors").read_bytes(),
                         (killed / "weights.safetensors").read_bytes())
        self.assertEqual([int(row["epoch"]) for row in self.history(killed)], list(range(1, epochs + 1)))


if __name__ == "__main__":
    harness.main()

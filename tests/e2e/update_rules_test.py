"""Update rules under which trainers do not wait for each other: jobs end well, also when processes die or stop in the
middle, and nobody trains on records of others or twice."""

import os
import signal
import time
import unittest

import harness


class UpdateRules(harness.Workspace):
    EPOCHS = 300

    def begin(self, trainers, strategy, epochs=None, checkpoint="1s"):
        self.up("--executors", 2, "--cpus", 4)
        text = harness.JOB.replace("trainers: 2", f"trainers: {trainers}").replace("momentum: 0.9", "momentum: 0")
        text = text.replace("every: 1s", f"every: {checkpoint}") + f"strategy: {{{{{strategy}}}}}\n"
        file = self.job_file(epochs=epochs or self.EPOCHS, data=self.pictures(60), text=text)
        self.id = int(self.expect(0, "submit", file).stdout)
        return self.wait_job(self.id, lambda job: job["state"] == "RUNNING" and job["progress"]["epoch"] >= 3)

    def pid(self, job, name):
        return {f"{task['role']}-{task['index']}": task["pid"] for task in job["tasks"]}[name]

    def assert_succeeds(self, restarts):
        job = self.wait_end(self.id)
        self.assertEqual(job["state"], "SUCCEEDED", job["cause"])
        self.assertEqual(job["restarts"], restarts)
        self.assert_bundle(self.path / "out" / "small")
        self.assertEqual([entry["epoch"] for entry in job["history"]], list(range(1, self.EPOCHS + 1)))
        return job

    def survives(self, strategy, victims):
        before = self.begin(2, strategy)
        for count, victim in enumerate(victims, 1):
            time.sleep(1.5)  # longer than checkpoint.every
            os.kill(self.pid(before, victim), signal.SIGKILL)
            before = self.wait_job(
                self.id, lambda job: job["restarts"] == count and job["state"] == "RUNNING" and
                job["progress"]["step"] > 0, 30)
        job = self.assert_succeeds(restarts=len(victims))
        events = [event["text"] for event in job["events"] if "step" in event["text"]]
        self.assertTrue(any("checkpoint" in text for text in events), job["events"])

    def test_async_survives_kills(self):
        self.survives("update: async", ["trainer-1", "ps-1"])

    def test_ssp_survives_kills(self):
        self.survives("update: ssp, staleness: 1", ["ps-0", "trainer-0"])

    def steps_while_stopped(self, strategy, trainers):
        """How many steps rank 0 goes while the last trainer is stopped for two seconds."""
        job = self.begin(trainers, strategy, checkpoint="1h")
        pid = self.pid(job, f"trainer-{trainers - 1}")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5)
        before = self.job(self.id)["progress"]["step"]
        time.sleep(2)
        gone = self.job(self.id)["progress"]["step"] - before
        os.kill(pid, signal.SIGCONT)
        return gone

    def test_nobody_waits_for_a_stopped_trainer_that_is_backed_up(self):
        self.EPOCHS = 400
        self.assertGreater(self.steps_while_stopped("update: sync, backup_trainers: 1", 3), 3)
        self.assert_succeeds(restarts=0)

    def test_all_wait_for_a_stopped_trainer_in_step(self):
        self.EPOCHS = 150
        self.assertEqual(self.steps_while_stopped("update: sync", 2), 0)
        self.assert_succeeds(restarts=0)

    def test_a_stopped_shard_is_waited_for(self):
        self.EPOCHS = 100
        job = self.begin(2, "update: async", checkpoint="1h")
        os.kill(self.pid(job, "ps-0"), signal.SIGSTOP)
        time.sleep(0.5)
        before = self.job(self.id)["progress"]["step"]
        time.sleep(3)  # longer than trainers take until they ask again
        self.assertEqual(self.job(self.id)["progress"]["step"], before)
        os.kill(self.pid(job, "ps-0"), signal.SIGCONT)
        job = self.assert_succeeds(restarts=0)

    def test_ssp_waits_at_its_bound(self):
        self.EPOCHS = 150
        self.assertLessEqual(self.steps_while_stopped("update: ssp, staleness: 2", 2), 3)
        self.assert_succeeds(restarts=0)

    def test_local_rules_end_with_a_model(self):
        for rule in ("local_sgd", "easgd", "downpour", "adag"):
            with self.subTest(rule):
                text = harness.JOB.replace("momentum: 0.9", "momentum: 0") + \
                    f"strategy: {{{{update: {rule}, period: 3}}}}\n"
                file = self.job_file(name=rule, epochs=12, data=self.pictures(60), text=text)
                self.expect(0, "run", file, "--executors", 2)
                self.assert_bundle(self.path / "out" / rule)

    def test_early_stop_takes_all_along(self):
        text = harness.JOB.replace("seed: 7\ncheckpoint",
                                   "seed: 7\n  early_stop: {{metric: validation/loss, patience: 1}}\ncheckpoint")
        text = text.replace("learning_rate: 0.03", "learning_rate: 0.3") + "strategy: {{update: async}}\n"
        file = self.job_file(name="early", epochs=1000, data=self.pictures(60), text=text)
        self.expect(0, "run", file, "--executors", 2)
        self.assert_bundle(self.path / "out" / "early")


if __name__ == "__main__":
    harness.main()

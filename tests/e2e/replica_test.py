"""Shards with followers: kill -9 of a shard stops nobody, restarts nothing, and changes no bit of the model."""

import os
import signal
import time
import unittest

import harness


class Replicas(harness.Workspace):
    EPOCHS = 120

    def submit(self, name, update="sync"):
        text = harness.JOB.replace("parameter_servers: 2", "parameter_servers: 2\n  replicas: 1")
        text = text.replace("momentum: 0.9", "momentum: 0.5") + f"strategy: {{{{update: {update}}}}}\n"
        file = self.job_file(name=name, epochs=self.EPOCHS, data=self.data, text=text)
        return int(self.expect(0, "submit", file).stdout)

    def setUp(self):
        super().setUp()
        self.data = self.pictures(60)
        self.up("--executors", 2, "--cpus", 4)

    def kill(self, id, name):
        job = self.job(id)
        os.kill({f"{task['role']}-{task['index']}": task["pid"] for task in job["tasks"]}[name], signal.SIGKILL)

    def steps_resume_within(self, id, seconds):
        """From the kill, which has just been."""
        began, step = time.time(), self.job(id)["progress"]["step"]
        self.wait_job(id, lambda job: job["progress"]["step"] > step + 1, seconds)
        return time.time() - began

    def end(self, id, restarts=0):
        job = self.wait_end(id)
        self.assertEqual(job["state"], "SUCCEEDED", job["cause"])
        self.assertEqual(job["restarts"], restarts, job["events"])
        return job

    def weights(self, name):
        return (self.path / "out" / name / "weights.safetensors").read_bytes()

    def test_followers_take_over_without_a_restart_and_without_a_changed_bit(self):
        self.end(self.submit("calm"))
        id = self.submit("hit")
        before = self.wait_job(id, lambda job: job["state"] == "RUNNING" and job["progress"]["epoch"] >= 5)
        self.kill(id, "ps-0")
        self.assertLess(self.steps_resume_within(id, 10), 3)
        self.wait_job(id, lambda job: job["progress"]["epoch"] >= before["progress"]["epoch"] + 10)
        self.kill(id, "ps-3")  # the follower of ps-1
        self.assertLess(self.steps_resume_within(id, 10), 3)
        time.sleep(1.5)  # a checkpoint of those who are left
        job = self.end(id)
        told = [event["text"] for event in job["events"]]
        self.assertIn("ps-2 takes over from ps-0", told)
        self.assertIn("ps-1 goes on without its follower ps-3", told)
        self.assertTrue(any(text.startswith("checkpoint at step") for text in told[told.index(
            "ps-1 goes on without its follower ps-3"):]), told)
        self.assertEqual(self.weights("hit"), self.weights("calm"))

    def test_when_both_are_gone_the_gang_starts_again_from_its_checkpoint(self):
        id = self.submit("both")
        self.wait_job(id, lambda job: job["state"] == "RUNNING" and job["progress"]["epoch"] >= 5)
        time.sleep(1.5)
        self.kill(id, "ps-1")
        self.steps_resume_within(id, 10)
        self.kill(id, "ps-3")
        self.end(id, restarts=1)
        self.submit("calm")
        self.end(id + 1)
        self.assertEqual(self.weights("both"), self.weights("calm"))

    def test_async_goes_on_too(self):
        id = self.submit("async", "async")
        self.wait_job(id, lambda job: job["state"] == "RUNNING" and job["progress"]["epoch"] >= 5)
        self.kill(id, "ps-1")
        self.assertLess(self.steps_resume_within(id, 10), 3)
        self.end(id)


if __name__ == "__main__":
    harness.main()

"""A place for checkpoints that takes nothing: training goes on, and goes on saving once there is room again."""

import subprocess
import unittest

import harness


class FullDisk(harness.Workspace):
    EPOCHS = 5000  # it is cancelled when the test has seen enough

    def events(self, job, kind):
        return [event["text"] for event in job["events"] if event["kind"] == kind]

    def step_of(self, job):
        return job["progress"]["step"]

    def warnings(self):
        """What the chief says of checkpoints that it gives up."""
        done = self.expect(0, "logs", self.id, "trainer-0")
        return [line for line in (done.stdout + done.stderr).splitlines() if "no checkpoint of step" in line]

    def assert_saves_and_ends(self):
        self.expect(0, "cancel", self.id)
        job = self.wait_end(self.id)
        self.assertIn("; saved at step", job["cause"])
        self.assertEqual(job["restarts"], 0)

    def begin(self):
        self.up("--executors", 1, "--cpus", 4)
        self.id = int(self.expect(0, "submit", self.job_file(epochs=self.EPOCHS, data=self.pictures(60))).stdout)
        return self.wait_job(self.id, lambda job: self.events(job, "checkpoint"))

    def test_training_goes_on_without_checkpoints_and_saves_again_when_it_can(self):
        self.begin()
        checkpoints = self.path / "out" / "small" / "checkpoints"
        aside = checkpoints.with_name("aside")
        checkpoints.rename(aside)
        checkpoints.write_text("no directory")
        kept = sorted(p.name for p in aside.iterdir() if (p / "manifest.json").exists())
        self.assertTrue(kept)
        job = self.wait_job(self.id, lambda job: self.events(job, "checkpoint_failed"))
        self.assertIn(str(checkpoints), self.events(job, "checkpoint_failed")[0])
        step = self.step_of(job)
        self.wait_job(self.id, lambda job: self.step_of(job) > step + 20)
        lines = self.warnings()
        self.assertTrue(lines)
        self.assertIn(str(checkpoints), lines[0])
        self.assertIn("the next one is tried as usual", lines[0])
        self.assertEqual(len(lines), len({line.partition("of step")[2] for line in lines}), "one line a checkpoint")
        # Nothing of the older ones was lost, and they are where a restart looks for them once there is room again.
        self.assertEqual(sorted(p.name for p in aside.iterdir() if (p / "manifest.json").exists()), kept)
        checkpoints.unlink()
        aside.rename(checkpoints)
        before = len(self.events(self.job(self.id), "checkpoint"))
        self.wait_job(self.id, lambda job: len(self.events(job, "checkpoint")) > before)
        self.assert_saves_and_ends()

    def test_a_file_system_that_is_full_costs_checkpoints_alone(self):
        disk = self.path / "out" / "small" / "checkpoints"
        disk.mkdir(parents=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True,
                                 text=True)
        if mounted.returncode != 0:
            raise unittest.SkipTest(f"no small file system: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        self.begin()
        (disk / "filler").write_bytes(b"")
        with (disk / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass
        job = self.wait_job(self.id, lambda job: self.events(job, "checkpoint_failed"))
        self.assertIn("No space left on device", self.events(job, "checkpoint_failed")[0])
        saved = [p for p in disk.glob("step-*") if (p / "manifest.json").exists()]
        self.assertTrue(saved)
        step = self.step_of(job)
        self.wait_job(self.id, lambda job: self.step_of(job) > step + 20)
        (disk / "filler").unlink()
        before = len(self.events(self.job(self.id), "checkpoint"))
        self.wait_job(self.id, lambda job: len(self.events(job, "checkpoint")) > before)
        self.assert_saves_and_ends()


if __name__ == "__main__":
    harness.main()

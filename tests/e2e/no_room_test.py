"""A disk that is full: one clear error that says where, what and what to do, and nothing half-made is left."""

import json
import os
import subprocess

import harness


class NoRoom(harness.Workspace):
    def assert_no_process(self):
        self.assertEqual(harness.processes_below(self.path), [])

    def test_a_master_whose_state_cannot_be_kept_tells_who_asked_and_ends(self):
        disk = self.small_disk(4)
        self.up("--executors", 1, directory=disk / "cluster")
        file = self.job_file()
        filler = harness.fill(disk)
        done = self.expect(1, "submit", file)
        self.assertEqual(done.stdout, "")
        for needle in ("cluster/master/journal.db", "full", "free some space"):
            self.assertIn(needle, done.stderr)
        self.wait_until(lambda: self.cli("jobs").returncode == 3)  # it has answered before it ends
        self.expect(0, "down", "--dir", disk / "cluster")
        self.assert_no_process()
        filler.unlink()
        self.up("--executors", 1, directory=disk / "cluster")
        self.assertEqual(json.loads(self.expect(0, "jobs", "--all", "-o", "json").stdout)["jobs"], [])

    def test_a_cluster_that_cannot_be_started_for_want_of_space_says_so(self):
        disk = self.small_disk(1)
        harness.fill(disk)
        done = self.expect(1, "up", "--dir", disk / "cluster")
        self.assertIn("No space left on device; free some space there", done.stderr)
        self.assertNotIn("another 'up'", done.stderr)
        self.assert_no_process()
        self.env["TMPDIR"] = str(disk)
        self.assertIn("No space left on device", self.expect(1, "run", self.job_file()).stderr)
        self.assert_no_process()
        self.assertEqual([p.name for p in disk.iterdir() if p.name.startswith("trainyard-run")], [])

    def test_a_bundle_that_finds_no_room_fails_the_job_and_leaves_nothing_half_made(self):
        """Checkpoints that find none cost the checkpoints alone; without the bundle all was for nothing."""
        for room in (0, 200_000):  # not even for a checkpoint; for one, but not for the model beside it
            with self.subTest(room=room):
                disk = self.small_disk(1)
                filler = harness.fill(disk)
                os.truncate(filler, filler.stat().st_size - room)
                done = self.expect(1, "run", self.job_file(epochs=2), "--set", f"output.path={disk}/out", "--set",
                                   "cluster.restarts=1")
                self.assertRegex(done.stdout, r"FAILED: .*bundle: .*disk.*/out/.*: No space left on device; free some")
                self.assert_no_process()
                left = [path for path in (disk / "out").rglob("*") if path.is_file()]
                whole = {path.parent for path in left if path.name == "manifest.json"}
                self.assertEqual([path for path in left if path.parent not in whole], [])

    def test_output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.BIN / "trainyard", "schema", "job"], stdout=full, stderr=subprocess.PIPE,
                                  stdin=subprocess.DEVNULL, env=self.env, text=True, timeout=20)
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([harness.BIN / "trainyard", "schema", "job"], stdout=writer, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, env=self.env, text=True, timeout=20)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    harness.main()

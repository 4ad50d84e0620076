"""What daemons record of a real cluster, fed to their cores again: the same decisions, and clear words when not."""

import os
import signal
import struct
import subprocess
import unittest
import zlib

import harness


class Replay(harness.Workspace):
    def replay(self, daemon, recording):
        # Somewhere else, with no config: a recording is all that a replay needs.
        elsewhere = self.path / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run([harness.BIN / f"trainyard-{daemon}", "--replay", recording], capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL, cwd=elsewhere,
                              env={k: v for k, v in self.env.items() if not k.startswith("TRAINYARD_")})

    def assert_replays(self, daemon, recording, *decisions):
        done = self.replay(daemon, recording)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr)
        self.assertIn("every decision is the same", done.stderr)
        for decision in decisions:
            self.assertIn(decision, done.stdout)
        return done.stdout.splitlines()

    def record_cluster(self):
        """A job whose trainer and then whose master are killed, on a cluster that records."""
        config = self.path / "cluster.yaml"
        config.write_text("master: {record: events.rec}\nexecutor: {record: events.rec}\n")
        self.env["TRAINYARD_CONFIG"] = str(config)
        self.up("--executors", 2, "--cpus", 4)
        self.id = int(self.expect(0, "submit", self.job_file(epochs=40, data=self.pictures(40))).stdout)
        job = self.wait_job(self.id, lambda job: any(e["kind"] == "checkpoint" for e in job["events"]))
        os.kill(next(t["pid"] for t in job["tasks"] if t["role"] == "trainer"), signal.SIGKILL)
        self.wait_job(self.id, lambda job: job["incarnation"] == 2 and job["state"] == "RUNNING")
        os.kill(self.daemon_pid("master"), signal.SIGKILL)
        self.up("--executors", 2)
        job = self.wait_end(self.id)
        self.assertEqual(job["state"], "SUCCEEDED", job["cause"])
        self.assertEqual(job["restarts"], 1)
        self.expect(0, "down", "--dir", self.path / "cluster")

    def test_recordings_of_a_cluster_replay_without_divergence(self):
        self.record_cluster()
        cluster = self.path / "cluster"
        # The first master was killed; its successor began from the records and put the older recording aside.
        lines = self.assert_replays("master", cluster / "master" / "events.rec.old",
                                    f"remember job_accepted job {self.id}", "killed by signal 9",
                                    "remember stop_decided", f"LaunchTask {self.id}/trainer-0#2", "step ")
        self.assertGreater(len(lines), 100)
        self.assertEqual([int(line.split()[0]) for line in lines], list(range(1, len(lines) + 1)))
        self.assert_replays("master", cluster / "master" / "events.rec", "recovered",
                            f"remember finished {self.id}/trainer-0#2", f"remember job_ended job {self.id}", "quit")
        recordings = sorted(cluster.glob("node-*/events.rec"))
        self.assertEqual(len(recordings), 2)
        said = [line for r in recordings for line in self.assert_replays("executor", r, "RegisterNode node-")]
        for decision in (f"start {self.id}/trainer-0#1", f"start {self.id}/trainer-0#2", "ended, signal 9"):
            self.assertTrue(any(decision in line for line in said), decision)
        # The token of a task is in the recording, and is never printed.
        self.assertEqual((cluster / "master" / "events.rec").stat().st_mode & 0o777, 0o600)

    def test_a_recording_that_cannot_be_replayed_says_why(self):
        config = self.path / "cluster.yaml"
        config.write_text("master: {record: events.rec}\n")
        self.env["TRAINYARD_CONFIG"] = str(config)
        self.up("--executors", 1)
        self.expect(0, "down", "--dir", self.path / "cluster")
        recording = self.path / "cluster" / "master" / "events.rec"
        whole = recording.read_bytes()
        lines = self.assert_replays("master", recording)

        torn = self.path / "torn.rec"
        torn.write_bytes(whole[:-3])
        done = self.replay("master", torn)
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"{torn}: the recording is cut off after event ", done.stderr)
        self.assertGreaterEqual(len(done.stdout.splitlines()), len(lines) - 1)

        damaged = self.path / "damaged.rec"
        damaged.write_bytes(whole[:-200] + b"x" + whole[-199:])
        done = self.replay("master", damaged)
        self.assertEqual(done.returncode, 2)
        self.assertIn("damaged after event ", done.stderr)

        for path, words in ((self.path / "none.rec", "No such file"), (config, "is not a recording")):
            done = self.replay("master", path)
            self.assertEqual(done.returncode, 2)
            self.assertIn(words, done.stderr)
        done = self.replay("executor", recording)
        self.assertEqual(done.returncode, 2)
        self.assertIn("is a recording of trainyard-master", done.stderr)

        # A master of another release, which answered the node otherwise.
        other = self.path / "other.rec"
        other.write_bytes(with_another_decision(whole, b"send peer 1 Registered"))
        done = self.replay("master", other)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("part ways", done.stdout)
        self.assertIn("recorded by", done.stdout)
        last = done.stdout.splitlines()[-4:]
        self.assertIn("send peer", "\n".join(last))

    def test_an_executor_does_not_start_where_it_cannot_record(self):
        done = subprocess.run([harness.BIN / "trainyard-executor", "--set", f"executor.work_dir={self.path}/w",
                               "--set", "executor.record=none/events.rec"], capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL, env=self.env, cwd=self.path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("executor.record", done.stderr)
        self.assertIn("none/events.rec", done.stderr)


def with_another_decision(recording, words):
    """The same recording, except that the first decision with these words has another digest."""
    head = struct.Struct("<IIIIqq")  # checksum, length, kind, digest, times
    out, at = bytearray(recording[:8]), 8
    changed = False
    while at < len(recording):
        checksum, length, kind, digest, monotonic, wall = head.unpack_from(recording, at)
        body = recording[at + head.size:at + head.size + length]
        if not changed and kind == 3 and words in body:
            changed, digest = True, digest ^ 1
        packed = head.pack(0, length, kind, digest, monotonic, wall)
        out += struct.pack("<I", zlib.crc32(packed[4:] + body)) + packed[4:] + body
        at += head.size + length
    assert changed
    return bytes(out)


if __name__ == "__main__":
    harness.main()

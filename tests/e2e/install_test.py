"""What `cmake --install` puts under a prefix is the whole suite: it runs from there, and from where it is moved to."""

import shutil
import subprocess
import unittest

import harness

BINARIES = ["trainyard", "trainyard-executor", "trainyard-master", "trainyard-ps", "trainyard-shim",
            "trainyard-trainer"]


class Install(harness.Workspace):
    def test_the_installed_binaries_need_nothing_of_the_build_directory(self):
        prefix, moved = self.path / "prefix", self.path / "moved"
        subprocess.run(["cmake", "--install", harness.BIN.parent, "--prefix", prefix], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        shutil.move(prefix, moved)
        self.bin = moved / "bin"
        self.assertEqual(sorted(file.name for file in self.bin.iterdir()), BINARIES)
        for name in BINARIES:
            done = subprocess.run([self.bin / name, "--version"], capture_output=True, text=True, timeout=30)
            self.assertEqual((done.returncode, done.stdout.split()[:1]), (0, [name]), done.stderr)
        self.up("--executors", 1, "--cpus", 4)
        started = [process["command"][0] for process in self.cluster()["processes"]]
        self.assertEqual(started, [str(self.bin / name) for name in ("trainyard-master", "trainyard-executor")])
        done = self.expect(0, "submit", "--wait", self.job_file(epochs=1))
        self.assertIn("SUCCEEDED", done.stdout + done.stderr)
        self.assert_bundle(self.path / "out" / "small")


if __name__ == "__main__":
    harness.main()

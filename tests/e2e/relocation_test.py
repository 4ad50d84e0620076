"""What scripts/bundle makes runs where none of our packages is: nothing of it comes from outside but glibc."""

import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import unittest

import harness

GLIBC = re.compile(r"^(ld-linux.*|linux-vdso|lib(c|m|mvec|dl|rt|pthread|resolv|util|nss_.*))\.so")


def loaded(pid):
    """The files that a process has mapped as code."""
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if "x" in line.split()[1] and "/" in line}


class Relocation(harness.Workspace):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("patchelf"):
            raise unittest.SkipTest("no patchelf; scripts/setup installs it")

    def bundle(self):
        """The unpacked tarball, at a place where it was not made."""
        made, moved = self.path / "made", self.path / "moved"
        done = subprocess.run([harness.ROOT / "scripts" / "bundle", harness.BIN.parent, made], check=True,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        with tarfile.open(done.stdout.strip()) as file:
            file.extractall(moved)
        shutil.rmtree(made)
        (folder,) = moved.iterdir()
        return folder

    def foreign(self, folder, files):
        return sorted(str(file) for file in files
                      if not GLIBC.match(pathlib.Path(file).name) and not str(file).startswith(f"{folder}/"))

    def test_a_bundle_needs_nothing_but_glibc_and_runs_a_job(self):
        folder = self.bundle()
        # A library path of the user's must not lead elsewhere: an empty file there would not even load.
        trap = self.path / "trap"
        trap.mkdir()
        for library in (folder / "lib").iterdir():
            (trap / library.name).write_bytes(b"")
        self.env["LD_LIBRARY_PATH"] = str(trap)
        for file in sorted([*(folder / "bin").iterdir(), *(folder / "lib").iterdir()]):
            told = subprocess.run(["ldd", file], env={"PATH": os.environ["PATH"]}, check=True, capture_output=True,
                                  text=True).stdout
            self.assertNotIn("not found", told, file)
            needed = re.findall(r"^\t(?:\S+ => )?(\S+) \(0x", told, re.MULTILINE)
            self.assertIn("libc.so.6", [pathlib.Path(path).name for path in needed], file)
            self.assertEqual(self.foreign(folder, needed), [], file)

        self.bin = folder / "bin"
        self.up("--executors", 1, "--cpus", 4)
        id = int(self.expect(0, "submit", self.job_file(epochs=1000)).stdout)
        job = self.wait_job(id, lambda job: job["progress"]["step"] > 0)
        pids = [p["pid"] for p in self.cluster()["processes"]] + [task["pid"] for task in job["tasks"]]
        self.assertEqual(len(pids), 6)
        for pid in pids:
            code = {file for file in loaded(pid) if not file.startswith("[")}
            self.assertIn(str(folder / "bin"), {str(pathlib.Path(file).parent) for file in code})
            self.assertEqual(self.foreign(folder, code), [])
        self.expect(0, "cancel", id)
        self.wait_end(id)
        done = self.expect(0, "submit", "--wait", self.job_file(name="short", epochs=1))
        self.assertIn("SUCCEEDED", done.stdout + done.stderr)
        self.assert_bundle(self.path / "out" / "short")


if __name__ == "__main__":
    harness.main()

"""What a training leaves and what is computed with it: the fields of the contract, with the right values."""

import csv
import json
import math
import os
import shutil
import signal
import struct

import harness


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


class Bundle(harness.Workspace):
    """One training; everything is asked of its bundle."""

    def setUp(self):
        super().setUp()
        self.data = self.pictures()
        self.expect(0, "run", self.job_file(epochs=8, data=self.data), "--set", "output.tensorboard=true")
        self.bundle = self.path / "out" / "small"

    def predictions(self, *inputs, **options):
        lines = self.path / "lines.jsonl"
        self.expect(options.get("code", 0), "predict", self.bundle, *inputs, "-o", lines, *options.get("more", ()))
        return [json.loads(line) for line in lines.read_text().splitlines()]

    def test_evaluate_agrees_with_the_predictions_of_each_picture(self):
        result = json.loads(self.expect(0, "evaluate", self.bundle, "--data", self.data, "-o", "json").stdout)
        self.assertEqual(set(result), {"count", "loss", "accuracy", "top_k", "labels", "confusion", "per_class"})
        labels = sorted(folder.name for folder in self.data.iterdir())
        self.assertEqual(result["labels"], labels)
        confusion = [[0] * 5 for _ in labels]
        loss = near = 0
        files = sorted(self.data.rglob("*.jpg"))
        for file, line in zip(files, self.predictions(*files, more=("--top", 5))):
            own = labels.index(file.parent.name)
            self.assertEqual(line["input"], str(file))
            self.assertAlmostEqual(sum(one["probability"] for one in line["top"]), 1, places=4)
            confusion[own][labels.index(line["top"][0]["label"])] += 1
            loss -= math.log(next(one["probability"] for one in line["top"] if one["label"] == labels[own]))
        count = len(files)
        self.assertEqual(result["count"], count)
        self.assertEqual(result["confusion"], confusion)
        self.assertAlmostEqual(result["loss"], loss / count, places=3)
        self.assertAlmostEqual(result["accuracy"], sum(confusion[k][k] for k in range(5)) / count, places=9)
        self.assertEqual(result["top_k"], {"5": 1.0})
        for k, one in enumerate(result["per_class"]):
            hits, support = confusion[k][k], sum(confusion[k])
            predicted = sum(row[k] for row in confusion)
            precision, recall = hits / max(1, predicted), hits / support
            self.assertEqual((one["label"], one["support"]), (labels[k], support))
            self.assertAlmostEqual(one["precision"], precision, places=9)
            self.assertAlmostEqual(one["recall"], recall, places=9)
            f1 = 2 * precision * recall / (precision + recall) if hits else 0
            self.assertAlmostEqual(one["f1"], f1, places=9)
        self.check_splits()

    def check_splits(self):
        """The held-back part is the one that the training tested on."""
        test = json.loads(self.expect(0, "evaluate", self.bundle, "--data", self.data, "--split", "test", "-o",
                                      "json").stdout)
        told = json.loads((self.bundle / "metrics.json").read_text())
        for key in ("count", "accuracy", "confusion"):
            self.assertEqual(test[key], told[key])
        self.assertAlmostEqual(test["loss"], told["loss"], places=5)
        self.assertIn("confusion", self.expect(0, "evaluate", self.bundle, "--data", self.data).stdout)
        strangers = self.path / "strangers"
        for k, kind in enumerate(("cat", "dog")):
            (strangers / kind).mkdir(parents=True)
            shutil.copy(sorted(self.data.rglob("*.jpg"))[k], strangers / kind)
        for data, needle in ((self.path / "nowhere", "does not exist"), (strangers, "classes")):
            self.assertIn(needle, self.expect(2, "evaluate", self.bundle, "--data", data).stderr)
        self.assertIn("--split", self.expect(2, "evaluate", self.bundle, "--data", self.data, "--split", "x").stderr)

    def test_predict_gives_a_line_for_every_input_also_for_what_cannot_be_read(self):
        picture = next(self.data.rglob("*.jpg"))
        whole = picture.read_bytes()
        bad = {"empty.jpg": b"", "png.jpg": b"\x89PNG\r\n\x1a\n" + bytes(64), "cut.jpg": whole[: len(whole) // 2]}
        for name, text in bad.items():
            (self.path / name).write_bytes(text)
        (self.path / "nothing").mkdir()
        os.mkfifo(self.path / "pipe.jpg")
        bad |= {"nothing": 0, "pipe.jpg": 0, "absent.jpg": 0, "ärger & <b>.jpg": 0}
        rows = self.predictions(picture, *bad)
        self.assertEqual([row["input"] for row in rows], [str(picture), *bad])
        self.assertEqual([set(row) for row in rows[1:]], [{"input", "error"}] * len(bad))
        self.assertEqual(set(rows[0]), {"input", "top"})
        self.assertEqual(set(rows[0]["top"][0]), {"label", "probability"})
        self.assertIn("PNG", rows[2]["error"])
        self.assertEqual(len(self.predictions("absent.jpg", code=1)), 1)
        self.assertEqual(len(self.predictions(self.data)), 5 * 24)
        for option in ("-o", "--html"):
            self.assertIn("nowhere", self.expect(2, "predict", self.bundle, picture, option, "nowhere/x").stderr)

    def test_a_page_changes_no_probability(self):
        files = sorted(self.data.rglob("*.jpg"))[:20]
        plain = self.predictions(*files)
        self.assertEqual(self.predictions(*files, more=("--html", self.path / "page.html")), plain)
        page = (self.path / "page.html").read_text()
        self.assertEqual(page.count("<img"), len(files))
        self.assertIn(f"{100 * plain[0]['top'][0]['probability']:.1f}%", page)

    def test_the_curves_go_to_tensorboard_when_asked_for(self):
        events, = self.bundle.glob("events.out.tfevents.*")
        data, at, payloads = events.read_bytes(), 0, []
        while at < len(data):
            length, check = struct.unpack_from("<QI", data, at)
            self.assertEqual(check, masked(data[at:at + 8]))
            payload = data[at + 12:at + 12 + length]
            self.assertEqual(struct.unpack_from("<I", data, at + 12 + length)[0], masked(payload))
            payloads.append(payload)
            at += 16 + length
        self.assertEqual(len(payloads), 1 + 8 + 1)
        self.assertTrue(payloads[0].endswith(b"brain.Event:2"))
        with open(self.bundle / "history.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for row, payload in zip(rows, payloads[1:]):
            value = struct.pack("<f", float(row["train/loss"]))
            self.assertIn(b"\x0a\x0atrain/loss\x15" + value[:3], payload.replace(value, value[:3]))
        # A second training replaces the file.
        self.expect(0, "run", self.job_file(epochs=1, data=self.data), "--set", "output.tensorboard=true")
        self.assertEqual(len(list(self.bundle.glob("events.out.tfevents.*"))), 1)


class SameFolder(harness.Workspace):
    def test_a_second_job_in_the_folder_of_a_longer_one_resumes_from_its_own_checkpoints(self):
        self.up("--executors", 1, "--cpus", 4)
        self.expect(0, "submit", self.job_file(epochs=150, data=self.pictures()), "--wait")
        folder = self.path / "out" / "small" / "checkpoints"
        old = {path.name for path in folder.iterdir()}
        self.assertTrue(old)
        id = int(self.expect(0, "submit", self.job_file(epochs=60, data=self.pictures(60))).stdout)
        job = self.wait_job(id, lambda job: job["checkpoint"] and job["state"] == "RUNNING")
        self.assertEqual({path.name for path in folder.iterdir()} & old, set())
        os.kill(job["tasks"][0]["pid"], signal.SIGKILL)
        job = self.wait_end(id)
        self.assertEqual((job["state"], job["restarts"]), ("SUCCEEDED", 1), job["cause"])
        self.assertEqual(job["cause"], "")

    def test_the_last_checkpoint_of_a_cancelled_job_is_whole_and_nothing_lies_beside_it(self):
        self.up("--executors", 1, "--cpus", 4)
        id = int(self.expect(0, "submit", self.job_file(epochs=100000)).stdout)
        self.wait_job(id, lambda job: job["progress"]["epoch"] > 2)
        self.expect(0, "cancel", id)
        job = self.wait_end(id)
        self.assertIn(f"saved at step {job['checkpoint']['step']}", job["cause"])
        directory = self.path / "out" / "small" / "checkpoints"
        self.assertTrue((directory / os.path.basename(job["checkpoint"]["directory"]) / "manifest.json").exists())
        self.assertEqual([path.name for path in directory.iterdir() if not path.name.startswith("step-")], [])


if __name__ == "__main__":
    harness.main()

"""A YAML file goes in, a model comes out that evaluates and predicts."""

import csv
import json
import unittest

import harness


class FirstJob(harness.Workspace):
    def test_run_trains_on_a_cluster_of_its_own_and_leaves_a_bundle_that_evaluates_and_predicts(self):
        data = self.pictures()
        done = self.expect(0, "run", self.job_file(epochs=3, data=data))
        self.assertIn("SUCCEEDED", done.stdout)
        self.assertEqual(done.stderr.count("epoch 1/3"), 1, done.stderr)
        bundle = self.path / "out" / "small"
        self.assert_bundle(bundle)
        self.assertEqual(harness.processes_below(self.path), [], "run left processes behind")
        self.assertEqual((bundle / "labels.txt").read_text().split(), sorted(p.name for p in data.iterdir()))
        with open(bundle / "history.csv", newline="") as file:
            self.assertEqual(len(list(csv.DictReader(file))), 3)
        self.check_evaluate(bundle, data)
        self.check_predict(bundle, data)

    def check_evaluate(self, bundle, data):
        done = self.expect(0, "evaluate", bundle, "--data", data, "--split", "all", "-o", "json")
        result = json.loads(done.stdout)
        self.assertEqual(result["count"], 5 * 24)
        self.assertEqual(sum(map(sum, result["confusion"])), result["count"])
        self.assertEqual(len(result["per_class"]), 5)
        hits = sum(result["confusion"][i][i] for i in range(5))
        self.assertAlmostEqual(result["accuracy"], hits / result["count"], places=6)
        self.assertGreater(result["accuracy"], 0.2, "no better than guessing")
        self.assertEqual(result["top_k"]["5"], 1.0)

    def check_predict(self, bundle, data):
        picture = sorted(next(iter(sorted(data.iterdir()))).iterdir())[0]
        broken = self.path / "broken.jpg"
        broken.write_bytes(b"\xff\xd8\xff\xe0 not really")
        lines = self.path / "out.jsonl"
        page = self.path / "page.html"
        self.cli("predict", bundle, picture, broken, "-o", lines, "--html", page, "--top", 2)
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
        self.assertEqual([row["input"] for row in rows], [str(picture), str(broken)])
        self.assertEqual(len(rows[0]["top"]), 2)
        self.assertGreaterEqual(rows[0]["top"][0]["probability"], rows[0]["top"][1]["probability"])
        self.assertIn("error", rows[1])
        self.assertIn("<html", page.read_text())


if __name__ == "__main__":
    harness.main()

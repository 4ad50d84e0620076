"""The ONNX project's backend tests of single operators, run on what import makes of them.

node_test.py RUNNER DATA PAGE [--write]: RUNNER is onnx_node_case; DATA holds a folder a release of onnx with its
cases (scripts/setup fetches them). Every case that import accepts has to be right on both backends and after a trip
through export; what it refuses, and why, is what PAGE says. Exit code 77 (skipped) where DATA is not there.
"""

import collections
import os
import re
import subprocess
import sys

# Release of onnx -> the newest operator set of its cases.
RELEASES = {"1.2.2": 7, "1.5.0": 10, "1.12.0": 17, "1.20.0": 25}

# Cases that import accepts and that cannot come out: what happens there is not the model's to say.
NOT_COMPARED = {
    "training_dropout": "draws at random; a job decides whether dropout does anything",
}

HEAD = """# ONNX

Printed by `tests/onnx/node_test.py`; a test holds this page against what the program does.

## Import
Operator sets 7 to 28 are read. A node, attribute or type that is not known is refused with the node's name, never
skipped. One dimension may be open: the batch. It is the first named dimension that stands first in an input; every
dimension of that name is it, and what the file computes from shapes is followed as multiples of it. Other open
dimensions are told by name.

Float tensors that are used as weights become tensors of the model under their names; a matrix that a Gemm or MatMul
multiplies by lies there as [units, features]. Everything else that is known is a constant, and what depends on
constants alone is computed at once. Values are computed in float: float16, bfloat16 and double are read as float, and
int8, int16 and uint16 as int32, uint32 as int64. Data beside the file are read from its own folder only.

batch_norm and dropout do what the job does, train or predict, whatever training_mode says. Operators marked with
"told" need inputs that decide a shape (sizes, axes, counts) to be known when the model is read: constants of the
file, or told by the caller.

## Export
Operator set 17. What import reads can be written again, but for what the table of exports below says.

## Operators
Cases are those of the backend tests of onnx {releases}.
They run on the reference loops and on the cpu backend, with the tolerance of these tests (relative 1e-3, absolute
1e-7); then the model is exported and imported again and has to give the same numbers within 1e-6. Composed cases
belong to each of their operators.
"""


def run_cases(runner, folders):
    """One line a case; a case that ends the runner is a failure, and the rest goes on."""
    lines, left = [], list(folders)
    while left:
        batch, left = left[:100], left[100:]
        out = subprocess.run([runner, *batch], stdout=subprocess.PIPE, text=True)
        begun, seen = None, set()
        for line in out.stdout.splitlines():
            fields = line.split("\t")
            if fields[0] == "begin":
                begun = fields[1]
            else:
                seen.add(fields[1])
                lines.append(fields)
        if out.returncode != 0:
            lines.append(["failed", begun, "", f"the runner ended with {out.returncode}"])
            left = [f for f in batch if f not in seen and f != begun] + left
    return lines


def without_place(why):
    why = re.sub(r"^ONNX node .*? \((\w+)\): ", "", why)
    why = re.sub(r"^(input|output) \d+: ", "", why)
    return re.sub(r"\[[^\]]*\]", "[...]", re.sub(r" \('[^']*'\)", "", why))


def refused_by(operators, why):
    """The operator that a message names; else all of the model."""
    named = re.match(r"ONNX node .*? \((\w+)\): ", why)
    return named.group(1) if named else operators


def counted(names):
    names = sorted(set(names))
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def page(results, operators):
    right, told = collections.Counter(), set()
    refused, unexported = collections.defaultdict(list), collections.defaultdict(list)
    for release, lines in results.items():
        for word, folder, kinds, why in lines:
            name = os.path.basename(folder).removeprefix("test_")
            if word in ("passed", "told"):
                for kind in set(kinds.split("+")):
                    right[kind] += 1
                if word == "told" and "+" not in kinds:
                    told.add(kinds)
                if why:
                    unexported[(kinds, without_place(why).removeprefix("not exported: "))].append(name)
            elif word == "refused":
                refused[(refused_by(kinds, why), without_place(why))].append(name)
    numbers = ", ".join(f"{r} (set {s})" for r, s in RELEASES.items())
    text = HEAD.format(releases=numbers)
    text += "\n| operator | since | cases right | |\n|---|---|---|---|\n"
    for name, since, until in operators:
        notes = ["told"] if name in told else []
        notes += [f"until {until}"] if until != "0" else []
        text += f"| {name} | {max(7, int(since))} | {right[name]} | {', '.join(notes)} |\n"
    text += "\n## Refused\n| operator | why | cases |\n|---|---|---|\n"
    unknown = collections.defaultdict(list)
    for (kind, why), names in sorted(refused.items()):
        if why.startswith("this operator is not supported"):
            unknown[kind] += names
        else:
            text += f"| {kind} | {why.replace('|', '/')} | {counted(names)} |\n"
    text += "\nOperators that are not read: " + ", ".join(sorted(unknown)) + ".\n"
    text += "\n## Imported and not exported\n| operators | why | cases |\n|---|---|---|\n"
    for (kinds, why), names in sorted(unexported.items()):
        text += f"| {kinds} | {without_place(why)} | {counted(names)} |\n"
    text += "\n## Not compared\n| cases | why |\n|---|---|\n"
    for part, why in NOT_COMPARED.items():
        text += f"| {part}* | {why} |\n"
    return text


def main():
    runner, data, path = sys.argv[1:4]
    missing = [r for r in RELEASES if not os.path.isdir(os.path.join(data, r))]
    if missing:
        print(f"skipped: the cases of onnx {', '.join(missing)} are not in {data}; scripts/setup fetches them")
        sys.exit(77)
    results, failures, counts = {}, [], collections.Counter()
    for release in RELEASES:
        root = os.path.join(data, release)
        folders = [os.path.join(root, f) for f in sorted(os.listdir(root))]
        folders = [f for f in folders if not any(part in f for part in NOT_COMPARED)]
        results[release] = run_cases(runner, folders)
        failures += [line for line in results[release] if line[0] not in ("passed", "told", "refused")]
        counts.update(line[0] for line in results[release])
    operators = [line.split("\t") for line in
                 subprocess.run([runner, "--operators"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()]
    text = page(results, operators)
    print(", ".join(f"{n} {word}" for word, n in sorted(counts.items())))
    for line in failures:
        print("\t".join(line))
    if "--write" in sys.argv:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        kept = file.read()
    if kept != text:
        print(f"{path} is out of date; run this test with --write")
    sys.exit(1 if failures or kept != text or counts["passed"] == 0 else 0)


if __name__ == "__main__":
    main()

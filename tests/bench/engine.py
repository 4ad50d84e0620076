#!/usr/bin/env python3
"""Training steps of our engine beside PyTorch, in one run: forward, loss, backward, SGD with momentum (a bag of
embeddings: Adagrad).

Both sides stay up as processes and are asked in turn, so that a slow moment of the machine meets both. PyTorch runs
in its two memory layouts. Printed: our median and spread, PyTorch's best round in its better layout and its median,
the ratios (PyTorch over ours; above 1 we are faster), and the most memory that each side had.

Usage: engine.py [--networks lenet5,mlp,...] [--threads 1,2] [--rounds 7] [--seconds 1.0] [--profile STEPS]
The binary is taken from TRAINYARD_BENCH (default build/release/bench); PyTorch from TRAINYARD_TORCH_PYTHON, a Python
that has it (default: this one).
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

BATCH = {"lenet5": 64, "mlp": 128, "bilstm": 32, "transformer": 16, "embedding_bag": 256, "resnet20": 64,
         "resnet18": 16, "mobilenet_v2": 16}
# Of networks over whole numbers: what PyTorch tries instead of two layouts.
LAYOUTS = {"transformer": ("contiguous",), "embedding_bag": ("sparse", "dense")}


def torch_side(name, layout, profiled=0):
    """The peer: the same protocol as engine_step; or a table of where the time of so many steps went."""
    import torch
    from torch import nn

    def norm_relu(channels, relu=nn.ReLU):
        return [nn.BatchNorm2d(channels), relu(inplace=True)]

    class Block(nn.Module):
        def __init__(self, inside, outside, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), *norm_relu(outside),
                                      nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
            self.short = (nn.Sequential() if stride == 1 and inside == outside else
                          nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)))

        def forward(self, x):
            return torch.relu_(self.body(x) + self.short(x))

    class Inverted(nn.Module):
        def __init__(self, inside, outside, expansion, stride):
            super().__init__()
            wide = inside * expansion
            parts = [] if expansion == 1 else [nn.Conv2d(inside, wide, 1, bias=False), *norm_relu(wide, nn.ReLU6)]
            parts += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), *norm_relu(wide, nn.ReLU6),
                      nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside)]
            self.body = nn.Sequential(*parts)
            self.residual = stride == 1 and inside == outside

        def forward(self, x):
            return x + self.body(x) if self.residual else self.body(x)

    def resnet(stem, widths, repeats, classes):
        layers, inside = stem, widths[0]
        for width in widths:
            for i in range(repeats):
                layers.append(Block(inside, width, 2 if width != widths[0] and i == 0 else 1))
                inside = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))

    def mobilenet():
        layers, inside = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), *norm_relu(32, nn.ReLU6)], 32
        for expansion, filters, repeats, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                                    (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
            for i in range(repeats):
                layers.append(Inverted(inside, filters, expansion, stride if i == 0 else 1))
                inside = filters
        return nn.Sequential(*layers, nn.Conv2d(320, 1280, 1, bias=False), *norm_relu(1280, nn.ReLU6),
                             nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))

    class BiLstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(128, 128, batch_first=True, bidirectional=True)
            self.end = nn.Linear(256, 10)

        def forward(self, x):
            return self.end(self.lstm(x)[0].mean(1))

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(2000, 256)
            self.layers = nn.Sequential(*(nn.TransformerEncoderLayer(256, 4, 1024, 0.0, "gelu", batch_first=True)
                                          for _ in range(3)))
            self.register_buffer("positions", torch.randn(128, 256))
            self.end = nn.Linear(256, 10)

        def forward(self, ids):
            return self.end(self.layers(self.embedding(ids) + self.positions).mean(1))

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    networks = {
        "lenet5": (lambda: nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)), 1, 28, 10),
        "mlp": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                                      nn.Linear(512, 10)), 1, 28, 10),
        "resnet20": (lambda: resnet([nn.Conv2d(3, 16, 3, 1, 1, bias=False), *norm_relu(16)], (16, 32, 64), 3, 10),
                     3, 32, 10),
        "bilstm": (BiLstm, 64, 128, 10),
        "transformer": (Transformer, 128, 2000, 10),
        "embedding_bag": (lambda: nn.Sequential(nn.EmbeddingBag(50000, 128, mode="mean", sparse=layout == "sparse"),
                                                nn.Linear(128, 10)), 32, 50000, 10),
        "resnet18": (lambda: resnet([nn.Conv2d(3, 64, 7, 2, 3, bias=False), *norm_relu(64), nn.MaxPool2d(3, 2, 1)],
                                    (64, 128, 256, 512), 2, 1000), 3, 128, 1000),
        "mobilenet_v2": (mobilenet, 3, 128, 1000),
    }
    make, channels, side, classes = networks[name]
    model = make()
    if name in LAYOUTS:
        batches = [torch.randint(0, side, (BATCH[name], channels)) for _ in range(16)]
    else:
        batches = [torch.randn(BATCH[name], channels, side, *([] if name == "bilstm" else [side]))]
    labels = torch.randint(0, classes, (BATCH[name],))
    if layout == "channels_last" and batches[0].dim() == 4:
        model, batches = model.to(memory_format=torch.channels_last), [batches[0].to(memory_format=torch.channels_last)]
    if name == "embedding_bag":
        optimizer = torch.optim.Adagrad(model.parameters(), lr=0.01)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    def run(steps):
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(model(batches[step % len(batches)]), labels)
            loss.backward()
            optimizer.step()
        return loss

    if profiled > 0:
        run(3)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            run(profiled)
        events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
        total = sum(event.self_cpu_time_total for event in events)
        print(f"{'operator':50}{'calls':>8}{'ms':>10}{'share':>9}")
        for event in events[:14]:
            print(f"{event.key:50}{event.count / profiled:8.0f}{event.self_cpu_time_total / profiled / 1000:10.3f}"
                  f"{100 * event.self_cpu_time_total / total:7.1f} %")
        print(f"{'all operators':58}{total / profiled / 1000:10.3f}{100:7.1f} %")
        return
    for line in sys.stdin:
        begin = time.perf_counter()
        loss = run(int(line))
        print((time.perf_counter() - begin) * 1000 / int(line), loss.item(), flush=True)


class Side:
    def __init__(self, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=environment)
        self.rounds = []

    def ask(self, steps):
        time.sleep(0.3)  # threads of the side before may still be waiting for work, awake
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"{self.process.args} ended with {self.process.wait()}")
        return float(answer[0])

    def round(self, seconds):
        self.rounds.append(self.ask(max(1, round(seconds * 1000 / self.step))))

    def warm(self):
        self.ask(2)
        self.step = self.ask(3)

    def end(self):
        """Gives the most memory that the process had, in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.stdin.close()
        self.process.wait()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def spread(rounds):
    return f"{statistics.median(rounds):.2f} ({min(rounds):.2f}..{max(rounds):.2f})"


def measure(name, threads, options):
    ours = Side([options.ours, name, str(BATCH[name])], threads)
    peers = {layout: Side([options.torch, "-B", __file__, "--peer", name, layout], threads)
             for layout in LAYOUTS.get(name, ("contiguous", "channels_last"))}
    sides = [ours, *peers.values()]
    for side in sides:
        side.warm()
    for _ in range(options.rounds):
        for side in sides:
            side.round(options.seconds)
    memory = {side: side.end() for side in sides}
    better = min(peers, key=lambda layout: min(peers[layout].rounds))
    peer, median = peers[better].rounds, statistics.median(ours.rounds)
    print(f"| {name} | {BATCH[name]} | {threads} | {spread(ours.rounds)} | {spread(peer)} {better} "
          f"| {min(peer) / median:.2f} | {statistics.median(peer) / median:.2f} "
          f"| {memory[ours]} / {memory[peers[better]]} |", flush=True)


def profile(name, threads, options):
    """Prints the operators of both sides, PyTorch's in the layout that it is faster in more often."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    layout = LAYOUTS.get(name, ("channels_last",))[0]
    print(f"\n## {name}, batch {BATCH[name]}, threads {threads}: ours, then PyTorch's ({layout})", flush=True)
    ours = subprocess.run([options.ours, name, str(BATCH[name]), "profile", str(options.profile)], env=environment,
                          capture_output=True, text=True, check=True).stdout
    print(ours.split("\nslowest places")[0], flush=True)
    subprocess.run([options.torch, "-B", __file__, "--peer", name, layout, str(options.profile)], env=environment,
                   check=True)


def main():
    if sys.argv[1:2] == ["--peer"]:
        return torch_side(*sys.argv[2:4], *map(int, sys.argv[4:5]))
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(BATCH))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--profile", type=int, metavar="STEPS", help="print where the time of both sides goes, only")
    options = parser.parse_args()
    options.ours = os.path.join(os.environ.get("TRAINYARD_BENCH", root / "build/release/bench"), "engine_step")
    options.torch = os.environ.get("TRAINYARD_TORCH_PYTHON", sys.executable)
    if options.profile:
        for name in options.networks.split(","):
            for threads in options.threads.split(","):
                profile(name, int(threads), options)
        return
    print("| network | batch | threads | ours, ms a step: median (spread) | PyTorch, better layout | best / ours "
          "| median / ours | most memory, MiB |\n|---|---|---|---|---|---|---|---|")
    for name in options.networks.split(","):
        for threads in options.threads.split(","):
            measure(name, int(threads), options)


if __name__ == "__main__":
    main()

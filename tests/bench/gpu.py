#!/usr/bin/env python3
"""Training steps on a GPU beside PyTorch, in one run: the batch brought in from pinned memory, forward, loss, backward,
SGD with momentum.

Both sides stay up as processes and are asked in turn. PyTorch runs as well as it can: channels last, autocast to bf16
where our side computes in bf16, a fused optimizer, the whole step captured in a CUDA graph; and once more without the
graph. Printed: the median and spread of both, the ratio of PyTorch's better median to ours (above 1 we are faster), and
the goal.

Usage: gpu.py [--networks resnet50,lenet5,mlp] [--rounds 7] [--seconds 2.0] [--profile STEPS]
The binary is taken from TRAINYARD_BENCH (default build/release/bench); PyTorch with CUDA from TRAINYARD_TORCH_PYTHON, a
Python that has it (default: this one). Without a GPU it says so in one line and ends with 77.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

from engine import Side, spread

# Batch, precision, goal of PyTorch's time over ours.
NETWORKS = {"resnet50": (256, "bf16", 1.0), "lenet5": (64, "fp32", 3.0), "mlp": (128, "fp32", 3.0)}
NO_GPU = 77


def torch_side(name, graphs):
    """The peer: the same protocol as gpu_step."""
    import torch
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, inside, width, stride):
            super().__init__()
            outside = 4 * width
            self.body = nn.Sequential(
                nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, outside, 1, bias=False), nn.BatchNorm2d(outside))
            self.short = (nn.Sequential() if stride == 1 and inside == outside else
                          nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside)))

        def forward(self, x):
            return torch.relu_(self.body(x) + self.short(x))

    def resnet50():
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        inside = 64
        for width, repeats in ((64, 3), (128, 4), (256, 6), (512, 3)):
            for i in range(repeats):
                layers.append(Bottleneck(inside, width, 2 if width != 64 and i == 0 else 1))
                inside = 4 * width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))

    def lenet5():
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def mlp():
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                             nn.Linear(512, 10))

    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU")
    batch, precision, _ = NETWORKS[name]
    make, channels, side, classes = {"resnet50": (resnet50, 3, 224, 1000), "lenet5": (lenet5, 1, 28, 10),
                                     "mlp": (mlp, 1, 28, 10)}[name]
    # fp32 is fp32 on both sides.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    form = torch.channels_last if channels > 1 else torch.contiguous_format
    model = make().cuda().to(memory_format=form)
    host = [torch.randn(batch, channels, side, side).to(memory_format=form).pin_memory() for _ in range(2)]
    host_labels = torch.randint(0, classes, (batch,)).pin_memory()
    images, labels = torch.empty_like(host[0], device="cuda"), torch.empty_like(host_labels, device="cuda")
    slots = [torch.empty_like(images) for _ in range(2)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    loss_of = nn.CrossEntropyLoss()
    copies = torch.cuda.Stream()

    def compute():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = loss_of(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    def bring(step):
        """The next batch, on a stream of its own."""
        copies.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(copies):
            slots[step % 2].copy_(host[step % 2], non_blocking=True)

    labels.copy_(host_labels)
    images.copy_(host[0])
    work = compute
    if graphs:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(5):
                compute()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = compute()

        def work():
            graph.replay()
            return captured

    def run(steps):
        bring(0)
        for step in range(steps):
            torch.cuda.current_stream().wait_stream(copies)
            images.copy_(slots[step % 2])
            bring(step + 1)
            loss = work()
        return loss.item()  # waits

    for line in sys.stdin:
        begin = time.perf_counter()
        loss = run(int(line))
        print((time.perf_counter() - begin) * 1000 / int(line), loss, flush=True)


def measure(name, options):
    batch, precision, goal = NETWORKS[name]
    threads = os.cpu_count()
    ours = Side([options.ours, name, str(batch), precision], threads)
    peers = {kind: Side([options.torch, "-B", __file__, "--peer", name, kind], threads) for kind in ("graphs", "eager")}
    sides = [ours, *peers.values()]
    for side in sides:
        side.ask(5)
        side.warm()
    for _ in range(options.rounds):
        for side in sides:
            side.round(options.seconds)
    for side in sides:
        side.end()
    better = min(peers, key=lambda kind: statistics.median(peers[kind].rounds))
    ratio = statistics.median(peers[better].rounds) / statistics.median(ours.rounds)
    print(f"| {name} | {batch} | {precision} | {spread(ours.rounds)} | {spread(peers['graphs'].rounds)} "
          f"| {spread(peers['eager'].rounds)} | {ratio:.2f} | {goal} |", flush=True)


def main():
    if sys.argv[1:2] == ["--peer"]:
        return torch_side(sys.argv[2], sys.argv[3] == "graphs")
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--profile", type=int, metavar="STEPS", help="print where the time of our side goes, only")
    options = parser.parse_args()
    options.ours = os.path.join(os.environ.get("TRAINYARD_BENCH", root / "build/release/bench"), "gpu_step")
    options.torch = os.environ.get("TRAINYARD_TORCH_PYTHON", sys.executable)
    if not os.path.exists(options.ours):
        sys.exit(f"{options.ours} is not there: scripts/build, or TRAINYARD_BENCH")
    # An empty round: is there a GPU?
    there = subprocess.run([options.ours, "mlp", "1", "fp32"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           check=False)
    if there.returncode != 0:
        print(there.stderr.strip().removeprefix("gpu_step: "), file=sys.stderr)
        sys.exit(NO_GPU if there.returncode == NO_GPU else 1)
    print(there.stderr.strip(), flush=True)
    for name in options.networks.split(","):
        if options.profile:
            batch, precision, _ = NETWORKS[name]
            subprocess.run([options.ours, name, str(batch), precision, "profile", str(options.profile)], check=True)
    if options.profile:
        return
    print("| network | batch | precision | ours, ms a step: median (spread) | PyTorch, CUDA graph | PyTorch, eager "
          "| better / ours | goal |\n|---|---|---|---|---|---|---|---|")
    for name in options.networks.split(","):
        measure(name, options)


if __name__ == "__main__":
    main()

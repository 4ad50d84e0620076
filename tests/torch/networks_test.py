"""Ten training steps of whole networks beside PyTorch, from the same weights and data: losses and parameters.

Called with the path of network_steps. PyTorch computes in double precision, so that what differs is ours. Exit code 77
(skipped) where no Python of this machine has PyTorch: TRAINYARD_TORCH_PYTHON, then build/venv, then the one that runs
this.
"""

import array
import math
import pathlib
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import with_torch  # noqa: E402

STEPS, BATCH = 10, 32
# Relative, of each loss.
LOSS_TOLERANCE = 1e-4
# Rate, and the difference of each tensor (as a vector) relative to the way that it went. Of the two and a half million
# arguments of ResNet-20's relus some lie so near to zero that single and double precision fall on different sides: its
# gradients differ by some thousandths, PyTorch's own in single precision as well, and a small rate keeps that small.
# A state's weights of the LSTM go a short way, of which the rounding of the weights themselves is a part.
NETWORKS = {"lenet5": (0.05, 1e-4), "resnet20": (0.0005, 2e-2), "bilstm": (0.1, 1e-3),
            "transformer_encoder": (0.02, 1e-4)}


def networks(torch):
    from torch import nn

    class LeNet5(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, input):
            pool = nn.functional.avg_pool2d
            x = pool(torch.tanh(self.conv1(input)), 2)
            x = pool(torch.tanh(self.conv2(x)), 2).flatten(1)
            return self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))

    class Block(nn.Module):
        def __init__(self, inside, outside, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside)
            self.conv2, self.bn2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside)
            self.downsample = nn.Sequential()
            if inside != outside:
                self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False),
                                                nn.BatchNorm2d(outside))

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + self.downsample(x))

    class ResNet20(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            stage = lambda inside, outside, stride: nn.Sequential(
                Block(inside, outside, stride), Block(outside, outside, 1), Block(outside, outside, 1))
            self.layer1, self.layer2, self.layer3 = stage(16, 16, 1), stage(16, 32, 2), stage(32, 64, 2)
            self.fc = nn.Linear(64, 10)

        def forward(self, input):
            x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(input))))))
            return self.fc(x.mean((2, 3)))

    class BiLstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.lstm = nn.ModuleList([nn.LSTM(inside, 32, batch_first=True, bidirectional=True)
                                       for inside in (32, 64)])
            self.fc = nn.Linear(64, 4)

        def forward(self, ids, lengths):
            x = nn.utils.rnn.pack_padded_sequence(self.embedding(ids), lengths, True, enforce_sorted=False)
            for lstm in self.lstm:
                x, (h, _) = lstm(x)
            return self.fc(h.transpose(0, 1).flatten(1))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.layers = nn.ModuleList([nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True)
                                         for _ in range(2)])
            self.fc = nn.Linear(32, 4)

        def forward(self, ids, lengths):
            steps = ids.shape[1]
            counts = torch.arange(steps)[None] < lengths[:, None]
            angle = torch.arange(steps)[:, None] * 10000.0 ** (-(torch.arange(32) // 2 * 2) / 32.0)
            where = torch.where(torch.arange(32) % 2 == 0, angle.sin(), angle.cos())
            x = self.embedding(ids) * math.sqrt(32) + where
            for layer in self.layers:
                x = layer(x, src_key_padding_mask=~counts)
            return self.fc((x * counts[..., None]).sum(1) / lengths[:, None])

    return {"lenet5": LeNet5, "resnet20": ResNet20, "bilstm": BiLstm, "transformer_encoder": Encoder}


def lstm_parameters(torch, name, tensor):
    """A tensor of ours, of both directions and with the gates i, o, f, c, as PyTorch has it: i, f, c, o."""
    layer, part = name.rsplit(".", 1)
    for direction, suffix in enumerate(("", "_reverse")):
        ordered = lambda rows: torch.cat([rows.chunk(4)[gate] for gate in (0, 2, 3, 1)])
        if part == "bias":
            for half, which in zip(tensor[direction].chunk(2), ("ih", "hh")):
                yield f"{layer}.bias_{which}_l0{suffix}", ordered(half)
        else:
            which = "ih" if part == "weight_input" else "hh"
            yield f"{layer}.weight_{which}_l0{suffix}", ordered(tensor[direction])


def state(torch, tensors, values):
    """Our flat values under PyTorch's names."""
    out = {}
    for name, offset, length, shape in tensors:
        tensor = torch.tensor(values[offset:offset + length], dtype=torch.float64).reshape(shape)
        if name.startswith("lstm."):
            out.update(lstm_parameters(torch, name, tensor))
        else:
            out[name] = tensor
    return out


def numbers(path):
    out = array.array("i" if path.name in ("labels", "ids", "lengths") else "f")
    out.frombytes(path.read_bytes())
    return out.tolist()


def batch(torch, folder):
    """Labels, and what the model takes."""
    labels = torch.tensor(numbers(folder / "labels"))
    if (folder / "input").exists():
        flat = torch.tensor(numbers(folder / "input"), dtype=torch.float64)
        side = 28 if flat.numel() % 784 == 0 else 32
        inputs = [flat.reshape(BATCH, -1, side, side)]
    else:
        inputs = [torch.tensor(numbers(folder / "ids")).reshape(BATCH, -1), torch.tensor(numbers(folder / "lengths"))]
    return labels, inputs


def compare(torch, program, name):
    rate, tolerance = NETWORKS[name]
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        done = subprocess.run([program, name, place, str(STEPS), str(rate)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            sys.exit(done.stderr)
        head, losses = done.stdout.split("\n\n")
        tensors = []
        for line in head.splitlines():
            tensor, offset, length, _, *shape = line.split()
            tensors.append((tensor, int(offset), int(length), [int(extent) for extent in shape]))
        first, last = (state(torch, tensors, numbers(folder / which)) for which in ("first", "last"))
        model = networks(torch)[name]().double()
        model.load_state_dict({**first, **{key: value for key, value in model.state_dict().items()
                                           if key.endswith("num_batches_tracked")}})
        labels, inputs = batch(torch, folder)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    worst_loss = 0.0
    for got in map(float, losses.split()):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(*inputs), labels.long())
        loss.backward()
        optimizer.step()
        worst_loss = max(worst_loss, abs(got - loss.item()) / loss.item())
    worst_value, where = 0.0, ""
    wanted = model.state_dict()
    for key, value in last.items():
        if key not in wanted:
            sys.exit(f"{name}: PyTorch's has no {key}")
        moved = float((wanted[key] - first[key]).norm())
        off = float((value - wanted[key]).norm()) / max(moved, 1e-3)
        if off > worst_value:
            worst_value, where = off, key
    print(f"{name}: loss {float(losses.split()[0]):.4f} to {float(losses.split()[-1]):.4f}; losses differ by "
          f"{worst_loss:.1e}, values by {worst_value:.1e} of their way ({where})")
    return len(losses.split()) == STEPS and worst_loss < LOSS_TOLERANCE and worst_value < tolerance


def check(program):
    import torch
    torch.set_num_threads(1)
    good = [compare(torch, program, name) for name in NETWORKS]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    with_torch.main(check)

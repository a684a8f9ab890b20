"""Segmentation with a self-written network: only torch and numpy are needed.

The network has two convolutions at a quarter of the image's size. `pixels="redacted"` compares only the
removed pixels.
"""

import sys

import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> nn.Module:
    layers = nn.Conv2d(3, 64, 8, stride=4, padding=2), nn.ReLU(), nn.Conv2d(64, 34, 3, padding=1)
    return nn.Sequential(*layers)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.semantic.astype("int64")) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), num_classes=34, redaction="random_blocks", pixels="redacted")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(int(epochs)):
    for image, labels in loader:
        logits = model(image)
        loss = cross_entropy(interpolate(logits, labels.shape[-2:], mode="bilinear"), labels)
        regeneration = model.regeneration_loss(image, logits)
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image), model.eval()(image))

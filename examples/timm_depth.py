"""Depth with a backbone of timm and a self-written head, whose prediction is a tensor (N, 1, h, w) in metres.

A band of middle frequencies is removed: in the paper's band study the middle one served depth best.
`depth_range` sets the depths in metres that the regenerator reads as 0 and 1.
"""

import sys

import timm
import torch
from torch.nn.functional import interpolate, l1_loss
from torch.utils.data import DataLoader

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: pretrained=True
    backbone = timm.create_model("mobilenetv2_050", num_classes=0, global_pool="", output_stride=8)
    return torch.nn.Sequential(backbone, torch.nn.Conv2d(1280, 1, 1), torch.nn.Softplus())


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.depth) for s in scenes]  # metres; 0 is sky
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), task="depth", redaction="band_stop", depth_range=(0, 80))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(int(epochs)):
    for image, depth in loader:
        prediction = model(image)
        loss = l1_loss(interpolate(prediction, depth.shape[-2:])[:, 0][depth > 0], depth[depth > 0])
        regeneration = model.regeneration_loss(image, prediction)
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image), model.eval()(image))

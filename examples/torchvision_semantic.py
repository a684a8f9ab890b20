"""Semantic segmentation with a torchvision network, whose prediction is a mapping with the key "out".

With the defaults of DejaVu random blocks are removed, and CRM-F regenerates them. Two lines differ from a
loop without DejaVu: the wrapper, and the regeneration loss.
"""

import sys

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: weights_backbone="DEFAULT", or weights="DEFAULT" with a head for its own 21 classes
    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=34)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, torch.tensor(s.semantic).long()) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), num_classes=34)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)  # the regenerator's parameters, too
for epoch in range(int(epochs)):
    for image, label in loader:
        prediction = model(image)  # the network's own
        loss = cross_entropy(prediction["out"], label)
        regeneration = model.regeneration_loss(image, prediction)
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image)["out"], model.eval()(image)["out"])

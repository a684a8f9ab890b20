"""Semantic segmentation and depth at once with a Unet of segmentation_models_pytorch.

The loop splits the network's channels by task and passes a mapping to DejaVu. Two redactions are combined:
one removes random blocks, for segmentation, and one removes high frequencies, for depth. Depth is in units of
10 metres, so that the default `depth_range` of (0, 10) fits.
"""

import sys

import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import cross_entropy, l1_loss
from torch.utils.data import DataLoader

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: encoder_weights="imagenet"
    return smp.Unet("tu-mobilenetv3_small_050", encoder_weights=None, classes=34 + 1)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.semantic, s.depth / 10) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

redaction = ["random_blocks", {"name": "low_pass", "cutoff": 0.2}]
model = dejavu.DejaVu(build(), task=["semantic", "depth"], num_classes=34, redaction=redaction)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(int(epochs)):
    for image, label, depth in loader:
        maps = model(image)
        loss = cross_entropy(maps[:, :34], label.long()) + l1_loss(maps[:, 34][depth > 0], depth[depth > 0])
        regeneration = model.regeneration_loss(image, {"semantic": maps[:, :34], "depth": maps[:, 34:]})
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image), model.eval()(image))

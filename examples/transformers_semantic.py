"""Semantic segmentation with transformers' SegFormer, whose prediction is an object with .logits at stride 4.

A checkerboard is removed and CRM-R regenerates it in three steps. DejaVu's weight rises from 0 in the first
fifth of the training: for that, the loss is told the progress. The generator makes the redaction repeatable.
"""

import sys

import torch
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader
from transformers import SegformerConfig, SegformerForSemanticSegmentation

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: SegformerForSemanticSegmentation.from_pretrained("nvidia/mit-b0", num_labels=34)
    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=34))


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, torch.tensor(s.semantic).long()) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), num_classes=34, redaction="checkerboard", regenerator="crm_r", warmup=0.2)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
generator = torch.Generator().manual_seed(0)
for epoch in range(int(epochs)):
    for image, label in loader:
        prediction = model(image)
        loss = cross_entropy(interpolate(prediction.logits, label.shape[-2:], mode="bilinear"), label)
        regeneration = model.regeneration_loss(image, prediction, generator, progress=epoch / int(epochs))
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image).logits, model.eval()(image).logits)

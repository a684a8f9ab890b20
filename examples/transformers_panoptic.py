"""Panoptic masks with transformers' MaskFormer, which predicts classes and masks of queries.

DejaVu combines the queries to one mask for each class. Its loss counts only the removed pixels. MaskFormer's
own loss needs the true masks, so the loop calls the network itself: `model(image)` equals
`model.network(image)`.
"""

import sys

import torch
from torch.utils.data import DataLoader
from transformers import DetrConfig, MaskFormerConfig, MaskFormerForInstanceSegmentation, SwinConfig

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: MaskFormerForInstanceSegmentation.from_pretrained("facebook/maskformer-swin-tiny-ade")
    swin = SwinConfig(depths=[1] * 4, embed_dim=48, out_features=["stage1", "stage2", "stage3", "stage4"])
    setup = MaskFormerConfig(backbone_config=swin, decoder_config=DetrConfig(decoder_layers=2), num_labels=34)
    return MaskFormerForInstanceSegmentation(setup)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.instance * 100 + s.semantic) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), task="panoptic", num_classes=34, redaction="random_pixels", pixels="redacted")
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for epoch in range(int(epochs)):
    for image, segments in loader:
        masks = [(one == one.unique()[:, None, None]).float() for one in segments]  # (S, H, W) an image
        prediction = model.network(image, masks, [one.unique().long() % 100 for one in segments])
        loss, regeneration = prediction.loss, model.regeneration_loss(image, prediction)
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image).masks_queries_logits, model.eval()(image).masks_queries_logits)

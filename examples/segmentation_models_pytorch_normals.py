"""Surface normals with an FPN of segmentation_models_pytorch, whose prediction is a tensor (N, 3, H, W).

The redaction keeps only low frequencies of the image. The predicted vectors may have any length: DejaVu makes
unit vectors of them. The regenerated image is compared by squared error.
"""

import sys

import segmentation_models_pytorch as smp
import torch
from torch.nn.functional import cosine_similarity
from torch.utils.data import DataLoader

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: encoder_weights="imagenet"
    return smp.FPN("tu-mobilenetv3_small_050", encoder_weights=None, classes=3)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.normals.transpose(2, 0, 1)) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

model = dejavu.DejaVu(build(), task="normals", redaction=dejavu.LowPass(cutoff=0.1), loss="mse")
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(int(epochs)):
    for image, normals in loader:
        prediction = model(image)
        loss = 1 - cosine_similarity(prediction, normals)[normals.any(1)].mean()  # the sky has none
        regeneration = model.regeneration_loss(image, prediction)
        optimizer.zero_grad()
        (loss + regeneration).backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
assert torch.equal(plain.eval()(image), model.eval()(image))

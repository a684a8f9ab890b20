"""Lightning's trainer: the DejaVu loss is a line of `training_step`; checkpoints hold the regenerator, too.

With more GPUs Lightning wraps the whole module in DistributedDataParallel and calls `training_step` through
it, so nothing changes here. DejaVu's weight rises from 0 in the first fifth of the training.
"""

import sys

import lightning as L
import torch
from torch import nn
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> nn.Module:
    layers = nn.Conv2d(3, 64, 8, stride=4, padding=2), nn.ReLU(), nn.Conv2d(64, 34, 3, padding=1)
    return nn.Sequential(*layers)


class Segmentation(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = dejavu.DejaVu(build(), num_classes=34, warmup=0.2)

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        image, labels = batch
        logits = self.model(image)
        loss = cross_entropy(interpolate(logits, labels.shape[-2:], mode="bilinear"), labels)
        progress = self.trainer.global_step / self.trainer.estimated_stepping_batches
        regeneration = self.model.regeneration_loss(image, logits, progress=progress)
        self.log_dict(
            {"loss": loss, "regeneration": regeneration}, on_step=False, on_epoch=True, sync_dist=True
        )
        return loss + regeneration

    def on_train_epoch_end(self) -> None:
        loss, regeneration = (self.trainer.callback_metrics[name] for name in ("loss", "regeneration"))
        print(f"epoch {self.current_epoch + 1}: loss {loss:.3f}, regeneration {regeneration:.3f}")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)  # the network's and the regenerator's


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
data = [(torch.tensor(s.image).permute(2, 0, 1) / 127.5 - 1, s.semantic.astype("int64")) for s in scenes]
loader = DataLoader(data, batch_size=4, shuffle=True)

module = Segmentation()
trainer = L.Trainer(
    max_epochs=int(epochs), logger=False, enable_checkpointing=False, enable_model_summary=False
)
trainer.fit(module, loader)
model = module.model

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
image = next(iter(loader))[0]
assert torch.equal(plain.eval()(image), model.eval()(image))

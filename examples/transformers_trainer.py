"""Hugging Face's Trainer: `compute_loss` adds the DejaVu loss to SegFormer's own, and `log` shows it beside.

`regeneration=True` returns prediction and loss in one call, which works in one process and in many. Two
arguments are needed because the Trainer cannot read the network's inputs and labels off `DejaVu.forward`.
"""

import sys

import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer, TrainingArguments

import dejavu
from dejavu.datasets.scenes.render import render


def build() -> torch.nn.Module:
    # Pretrained: SegformerForSemanticSegmentation.from_pretrained("nvidia/mit-b0", num_labels=34)
    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=34))


class DejavuTrainer(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        images, labels = inputs["pixel_values"], inputs["labels"]
        if not model.training:
            outputs = model(images, labels=labels)
            return (outputs.loss, outputs) if return_outputs else outputs.loss
        outputs, self.regeneration = model(images, labels=labels, regeneration=True)
        return outputs.loss + self.regeneration

    def log(self, logs, *rest):
        if "loss" in logs:
            loss, regeneration = logs["loss"], self.regeneration
            print(f"epoch {self.state.epoch:.0f}: loss {loss:.3f}, regeneration {regeneration:.3f}")
        super().log(logs, *rest)


path, epochs = sys.argv[1:] or ["network.pt", 15]
scenes = [render(seed=0, index=index, size=(64, 96)) for index in range(16)]
images = [torch.tensor(scene.image).permute(2, 0, 1) / 127.5 - 1 for scene in scenes]
labels = [torch.tensor(scene.semantic).long() for scene in scenes]
data = [{"pixel_values": image, "labels": label} for image, label in zip(images, labels, strict=True)]

model = dejavu.DejaVu(build(), num_classes=34)
arguments = TrainingArguments(
    f"{path}.trainer",
    num_train_epochs=int(epochs),
    per_device_train_batch_size=4,
    learning_rate=1e-3,
    logging_strategy="epoch",
    save_strategy="no",
    report_to="none",
    remove_unused_columns=False,  # else what `DejaVu.forward` does not name would be left out: the images
    label_names=["labels"],  # else `trainer.evaluate()` would compute no loss
)
trainer = DejavuTrainer(model, arguments, train_dataset=data, eval_dataset=data[:4])
trainer.train()
print(f"evaluation: loss {trainer.evaluate()['eval_loss']:.3f}")
model.cpu()

torch.save(model.network.state_dict(), path)  # the plain network's: nothing of DejaVu is in it
plain = build()
plain.load_state_dict(torch.load(path), strict=True)
image = images[0][None]
assert torch.equal(plain.eval()(image).logits, model.eval()(image).logits)

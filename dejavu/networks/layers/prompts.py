"""Context-aware prompting of DenseCLIP (Rao et al., CVPR 2022): texts that learn, and that see the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from ..backbones.vit import HEAD

NAME = 5  # tokens of a class name with its beginning and end, as in DenseCLIP: what is longer is cut off


class Prompts(nn.Module):
    """Embeddings of class names behind learnt contexts, by a text tower that is frozen and in eval mode.

    In evaluation mode they are constants: they are made once, and again after weights were loaded.
    """

    known: Tensor | None
    names: Tensor

    def __init__(self, tower: Any, classes: Sequence[str], contexts: int, model: str) -> None:
        super().__init__()
        self.tower = tower.eval().requires_grad_(False)
        tokens = open_clip.get_tokenizer(model)([name.replace("_", " ") for name in classes], NAME)
        self.register_buffer("names", tokens, persistent=False)  # (K, 5)
        self.register_buffer("known", None, persistent=False)
        self.contexts = nn.Parameter(torch.empty(contexts, tower.token_embedding.embedding_dim))
        nn.init.trunc_normal_(self.contexts)
        self.register_load_state_dict_post_hook(_forget)

    def forward(self) -> Tensor:
        """(K, D), with a graph to the contexts in training mode."""
        if self.training:
            return self._encode()
        if self.known is None:
            self.known = self._constant()
        return self.known

    def train(self, mode: bool = True) -> Prompts:
        super().train(mode)
        self.tower.eval()
        # At once: so the cost of an image, which is counted after this, is that of an image.
        self.known = None if mode else self._constant()
        return self

    @torch.inference_mode(False)
    @torch.no_grad()
    def _constant(self) -> Tensor:
        if self.contexts.is_meta:  # which autocast does not know
            return self._encode()
        with torch.autocast(self.contexts.device.type, enabled=False):
            return self._encode()

    def _encode(self) -> Tensor:
        tower: Any = self.tower
        names = tower.token_embedding(self.names)  # (K, 5, C)
        contexts = self.contexts.expand(len(names), -1, -1)
        x = torch.cat([names[:, :1], contexts, names[:, 1:]], 1)
        length = x.shape[1]
        mask = tower.attn_mask[:length, :length]
        x = tower.transformer(x + tower.positional_embedding[:length], attn_mask=mask)
        ends = self.names.argmax(1) + contexts.shape[1]  # the end has the largest number of all tokens
        return tower.ln_final(x[torch.arange(len(x), device=x.device), ends]) @ tower.text_projection


def _forget(prompts: Prompts, _: Any) -> None:
    prompts.known = None


class ContextDecoder(nn.Module):
    """Refine text embeddings by the image: the texts attend to each other and to the image's patches.

    Args:
        inputs: D, of the space that images and texts share.
        channels: of the decoder, a multiple of 64; every head has 64.
        layers: how many.
    """

    def __init__(self, inputs: int, channels: int, layers: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, channels), nn.LayerNorm(channels))
        self.text = nn.Sequential(nn.LayerNorm(inputs), nn.Linear(inputs, channels))
        self.layers = nn.ModuleList(
            # Not batch first: the fast path of that order hides its cost.
            nn.TransformerDecoderLayer(
                channels, channels // HEAD, 4 * channels, dropout=0.1, activation="gelu", norm_first=True
            )
            for _ in range(layers)
        )
        self.output = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, inputs))
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.trunc_normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, texts: Tensor, image: Tensor) -> Tensor:
        """Embeddings of texts (K, D) and of images with their patches (N, L, D) to differences (N, K, D)."""
        patches = self.image(image).transpose(0, 1)  # (L, N, c)
        x = self.text(texts)[:, None].expand(-1, len(image), -1)  # (K, N, c)
        for layer in self.layers:
            x = layer(x, patches)
        return self.output(x).transpose(0, 1)

"""Random views by kornia, in batches, on the training device: pictures uint8 → two scaled views of each."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from sightbook.learn.settings.sections import ViewsConfig


class Views(nn.Module):
    """Draws views; torch's global random state decides them, so seeding it makes them repeatable.

    `size`: side of a fixed view; `side`: that of a random view, `config.size` or `size` when None; `scale`: share of
    the picture in a random view, from and to, `config.crop_min` to 1 when None.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: ViewsConfig,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        side: int | None = None,
        scale: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kornia imports modules that warn about themselves
            import kornia.augmentation as K

        jitter, side = config.jitter, side or config.size or size
        smallest, largest = scale or (config.crop_min, 1.0)
        steps: list[nn.Module] = [
            # "resample" cuts and scales the whole batch in one grid_sample; "slice" loops over the pictures.
            K.RandomResizedCrop((side, side), scale=(smallest, largest), cropping_mode="resample"),
            K.RandomHorizontalFlip(p=config.flip),
        ]
        if jitter or config.hue:
            steps.append(K.ColorJitter(jitter, jitter, jitter, config.hue, p=config.jitter_share))
        if config.grey:
            steps.append(K.RandomGrayscale(p=config.grey))
        if config.blur:
            width = max(3, side // 20 * 2 + 1)  # a tenth of the side, odd
            steps.append(K.RandomGaussianBlur((width, width), (0.1, 2.0), p=config.blur))
        self.augment = K.AugmentationSequential(*steps)
        self.size, self.side, self.config = size, side, config
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def smaller(self, side: int) -> Views:
        """The same with random views of `side` pixels, on the same device."""
        return self._like(side, None)

    def local(self) -> Views:
        """Those of small parts of a picture (`local_min` to `local_max` of its area), as large as the others."""
        return self._like(self.side, (self.config.local_min, self.config.local_max))

    def _like(self, side: int, scale: tuple[float, float] | None) -> Views:
        mean, std = (tuple(each.flatten().tolist()) for each in (self.mean, self.std))
        return Views(self.config, self.size, mean, std, side=side, scale=scale).to(self.mean.device)

    @torch.no_grad()
    def forward(self, pictures: Tensor, copies: int = 2) -> Tensor:
        """pictures (B, R, R, 3) uint8 → (copies · B, 3, V, V) float32, V the side of a view.

        Row b + i·B is the i-th view of picture b.
        """
        pixels = pictures.permute(0, 3, 1, 2).float() / 255.0
        views: Tensor = self.augment(pixels.repeat(copies, 1, 1, 1))
        return self._scale(views)

    @torch.no_grad()
    def fixed(self, pictures: Tensor) -> Tensor:
        """The one fixed view: the centre square. pictures (B, R, R, 3) uint8 → (B, 3, S, S) float32."""
        edge = (pictures.shape[1] - self.size) // 2
        centre = pictures[:, edge : edge + self.size, edge : edge + self.size]
        return self._scale(centre.permute(0, 3, 1, 2).float() / 255.0)

    def _scale(self, pixels: Tensor) -> Tensor:
        scaled = (pixels - self.mean) / self.std
        return scaled.contiguous(memory_format=torch.channels_last)

"""The home of albumentations: its pipelines as changes of batches, image by image."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.data.augment_settings import SECTION, AlbumentationsConfig
from holdfast.data.augment_steps import Step
from holdfast.errors import ConfigError, MissingExtraError


def pipeline(config: AlbumentationsConfig, generator: torch.Generator, strength_n: Tensor) -> Step:
    """Read the pipeline, and seed it from the generator.

    Parameters
    ----------
    strength_n : Tensor of float, shape (N,)
        Images with 0 are left out; other strengths make no difference to a pipeline.

    Raises
    ------
    MissingExtraError
        If albumentations is not installed.
    ConfigError
        If the text is no pipeline that albumentations reads, or its result has another shape.

    Notes
    -----
    An image at a time, in Python, on the CPU: as slow as albumentations is. Prefer the other
    policies where they do.
    """
    changing = _read(config.pipeline)
    changing.set_random_seed(int(torch.randint(2**31, (1,), generator=generator)))

    def step(images_bchw: Tensor, rows: slice) -> Tensor:
        pixels = (images_bchw * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        changed = pixels.copy()
        for place in (strength_n[rows] > 0).nonzero()[:, 0].tolist():
            image = np.ascontiguousarray(pixels[place])
            result = changing(image=image)["image"]
            if result.shape != image.shape:
                raise ConfigError(
                    f"{SECTION}.albumentations.pipeline makes images of {result.shape} (rows, "
                    f"columns, channels) from {image.shape}; leave out what crops or resizes"
                )
            changed[place] = result
        floats = torch.from_numpy(changed).to(images_bchw.device).permute(0, 3, 1, 2)
        return floats.float().div_(255).contiguous()

    return step


def _read(text: str) -> Any:
    # It asks the network for its newest version when it is imported, unless told not to.
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations  # type: ignore[import-untyped]  # ships no types
    except ImportError as error:
        raise MissingExtraError("albumentations", "albumentations") from error
    try:
        return albumentations.Compose([albumentations.from_dict(json.loads(text))])
    except Exception as error:
        raise ConfigError(
            f"{SECTION}.albumentations.pipeline is no pipeline that albumentations can read "
            f"({type(error).__name__}: {error}); write what "
            "json.dumps(albumentations.to_dict(pipeline)) gives"
        ) from error

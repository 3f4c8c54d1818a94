"""How many images a second are augmented: Holdfast, torchvision v2 and albumentations.

The same changes for all. The peers take an image at a time, as their data sets do. Images are
bytes that come and go as bytes, in the layout that each wants.

Shape suffixes: n images, c channels, h rows, w columns.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory_watch import MemoryWatch
from benchmarks.result_file import settings_of, write_result
from holdfast.data.augment import change
from holdfast.data.augment_settings import AugmentationConfig

SIDES = (32, 64, 224)
POLICIES = ("geometric", "visual", "randaugment")
REPEATS = 3
# Peers take so few of the images: they are slow, and each costs the same.
PEER_SHARE = 8
MEBI = 1 << 20
Run = Callable[[], object]


def rows(samples: int, device: str = "cpu") -> list[dict[str, Any]]:
    """Return one row for each policy, side and method.

    Parameters
    ----------
    samples : int
        Images of 32×32 and 64×64; of 224×224 an eighth. The peers get an eighth of each.
    device : str
        Of Holdfast's images; the peers stay on the CPU.

    Returns
    -------
    list of dict
        `seconds`: the shortest of three, in turns with the other methods. `cpu_seconds`: the
        least processor time of all threads, which a busy machine stretches less; 0 on a GPU
        means nothing. `peak_mb`: memory that came to be held while it ran, in MiB.
    """
    generator = torch.Generator().manual_seed(0)
    found = []
    for side in SIDES:
        count = max(samples // 8 if side == SIDES[-1] else samples, 16)
        images = torch.randint(0, 256, (count, 3, side, side), generator=generator).to(torch.uint8)
        few = images[: max(count // PEER_SHARE, 8)]
        for policy in POLICIES:
            ours = _ours(images.to(device), policy)
            ways = {"holdfast": (count, ours)}
            ways |= {name: (len(few), run) for name, run in _peers(few, policy).items()}
            found += _measured(f"{policy} {side}x{side}", ways)
    return found


def _measured(operation: str, ways: dict[str, tuple[int, Run]]) -> list[dict[str, Any]]:
    best = {name: [float("inf"), float("inf"), 0.0] for name in ways}
    for _, run in ways.values():
        run()
    for _ in range(REPEATS):
        for name, (_, run) in ways.items():
            watch = MemoryWatch()
            started, worked = time.perf_counter(), time.process_time()
            run()
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
            least = best[name]
            peak = max(least[2], watch.stop() / MEBI)
            best[name] = [min(least[0], seconds), min(least[1], cpu_seconds), peak]
    return [
        {
            "operation": operation,
            "method": name,
            "samples": count,
            "seconds": best[name][0],
            "per_second": count / best[name][0],
            "peak_mb": best[name][2],
            "cpu_seconds": best[name][1],
        }
        for name, (count, _) in ways.items()
    ]


def _ours(images: Tensor, policy: str) -> Run:
    config, generator = AugmentationConfig(policy=policy), torch.Generator().manual_seed(1)

    def run() -> None:
        change(images, config, generator)
        if images.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def _peers(images: Tensor, policy: str) -> dict[str, Run]:
    # Deferred: importing the two takes long, and only one of them is sure to be there.
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    torchvision = {
        "geometric": lambda: v2.Compose(
            [v2.RandomAffine(30, (0.1, 0.1), (0.8, 1.2), interpolation=bilinear),
             v2.RandomHorizontalFlip()]
        ),
        "visual": lambda: v2.Compose(
            [v2.ColorJitter(brightness=0.25, saturation=0.4, hue=0.04),
             v2.GaussianBlur(5, (0.01, 0.8)),
             v2.GaussianNoise(sigma=0.02)]
        ),
        "randaugment": lambda: v2.RandAugment(interpolation=bilinear),
    }[policy]()  # fmt: skip
    found: dict[str, Run] = {
        "torchvision v2, tensors": lambda: [torchvision(one) for one in images]
    }
    if policy != "visual":  # its noise takes no PIL image
        pictures = [v2.functional.to_pil_image(one) for one in images]
        found["torchvision v2, PIL"] = lambda: [torchvision(one) for one in pictures]
    pipeline = _albumentations(policy)
    if pipeline is not None:
        arrays = list(images.permute(0, 2, 3, 1).contiguous().numpy())
        found["albumentations"] = lambda: [pipeline(image=one)["image"] for one in arrays]
    return found


def _albumentations(policy: str) -> Any:
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    try:
        import albumentations as peer
    except ImportError:
        return None
    if policy == "geometric":
        affine = peer.Affine(rotate=(-30, 30), translate_percent=(-0.1, 0.1), scale=(0.8, 1.2), p=1)
        return peer.Compose([affine, peer.HorizontalFlip(p=0.5)])
    if policy == "visual":
        jitter = peer.ColorJitter(
            brightness=(0.75, 1.25), contrast=(1, 1), saturation=(0.6, 1.4), hue=(-0.04, 0.04), p=1
        )
        blur = peer.GaussianBlur(blur_limit=(5, 5), sigma_limit=(0.01, 0.8), p=1)
        return peer.Compose([jitter, blur, peer.GaussNoise(std_range=(0.0, 0.04), p=1)])
    return None


def main(argv: list[str] | None = None) -> int:
    """Measure, print a line for each row, and write them where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data_augment")
    parser.add_argument("--samples", type=int, default=4096, help="images of 32x32 (4096)")
    parser.add_argument("--device", default="cpu", help="of Holdfast's images (cpu), as in cuda")
    parser.add_argument("--json", type=Path, help="where the rows go")
    options = parser.parse_args(argv)
    found = rows(options.samples, options.device)
    for row in found:
        print(
            f"{row['operation']:<20} {row['method']:<24} {row['per_second']:>10,.0f} a second "
            f"{1e6 * row['cpu_seconds'] / row['samples']:>8,.0f} us of a core each "
            f"{row['peak_mb']:>7.1f} MB"
        )
    write_result(options.json, {"settings": settings_of(options), "rows": found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

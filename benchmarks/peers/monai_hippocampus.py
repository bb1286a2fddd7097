"""MONAI's UNet and DynUNet on the hippocampus, by the recipes of MONAI's own tutorials.

`unet`: the tutorial on the spleen (3d_segmentation/spleen_segmentation_3d): UNet of two residual
units a level with batch norm, Adam 1e-4, patches about both kinds of voxels, batches of two. What
differs: a level less and one patch a scan, for its patch of 96 cells is larger than these scans;
and Dice with cross-entropy as in its later tutorials, for it is the stronger loss.

`dynunet`: the tutorial on the Decathlon, task 4, which is this very set
(modules/dynunet_pipeline: task_params, commands/task04): nnU-Net's network and patch (40, 56, 40),
batches of nine, SGD 0.1 with Nesterov's momentum 0.99, and the last eleventh of the training at
0.001; its augmentation; eight mirrored views averaged in answering.

`dynunet-short`, beside the tutorials: the same network with what suits so short a time (batches of
two, AdamW with a warm-up and a cosine), to tell the recipe from the network.
"""

import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

PATCH = (40, 56, 40)
PEERS = ("unet", "dynunet", "dynunet-short")
BATCH = {"unet": 2, "dynunet": 9, "dynunet-short": 2}
POSITIVE = {"unet": 1, "dynunet": 2, "dynunet-short": 2}  # patches about a structure, to one not
FIRST_RATE, LAST_RATE, FIRST_SHARE = 0.1, 1e-3, 500 / 550
SHORT_RATE, WARM_UP = 1e-3, 0.05


def network_of(name: str) -> torch.nn.Module:
    """The network as in its tutorial."""
    from monai.networks.nets import DynUNet, UNet

    if name == "unet":
        return UNet(
            spatial_dims=3, in_channels=1, out_channels=3, channels=(16, 32, 64, 128),
            strides=(2, 2, 2), num_res_units=2, norm="batch",
        )  # fmt: skip
    return DynUNet(
        spatial_dims=3, in_channels=1, out_channels=3, kernel_size=[3, 3, 3, 3],
        strides=[1, 2, 2, 2], upsample_kernel_size=[2, 2, 2], norm_name="instance",
        deep_supervision=True, deep_supr_num=1,
    )  # fmt: skip


def transforms_of(name: str, training: bool):
    """What the tutorials do with a scan; all volumes are at 1 mm, so that none is resampled."""
    from monai import transforms as mt

    keys = ["image", "label"] if training else ["image"]
    steps: list[Any] = [
        mt.LoadImaged(keys=keys),
        mt.EnsureChannelFirstd(keys=keys),
        mt.Orientationd(keys=keys, axcodes="RAS", labels=None),
        mt.NormalizeIntensityd(keys=["image"], nonzero=name != "unet", channel_wise=True),
        mt.SpatialPadd(keys=keys, spatial_size=PATCH),
    ]
    if training:
        steps += [
            mt.RandCropByPosNegLabeld(keys=keys, label_key="label", spatial_size=PATCH,
                                      pos=POSITIVE[name], neg=1, num_samples=1, image_key="image"),
            *(_changes_of_dynunet(keys) if name != "unet" else []),
        ]  # fmt: skip
    return mt.Compose(steps)


def _changes_of_dynunet(keys: list[str]) -> list[Any]:
    """The pipeline's random changes; the spleen's tutorial has none but the place of the patch."""
    from monai import transforms as mt

    sigma = (0.5, 1.15)
    return [
        mt.RandZoomd(keys=keys, min_zoom=0.9, max_zoom=1.2, mode=("trilinear", "nearest"),
                     align_corners=(True, None), prob=0.15),
        mt.RandGaussianNoised(keys=["image"], std=0.01, prob=0.15),
        mt.RandGaussianSmoothd(keys=["image"], sigma_x=sigma, sigma_y=sigma, sigma_z=sigma,
                               prob=0.15),
        mt.RandScaleIntensityd(keys=["image"], factors=0.3, prob=0.15),
        *(mt.RandFlipd(keys=keys, spatial_axis=axis, prob=0.5) for axis in range(3)),
    ]  # fmt: skip


def optimiser_of(name: str, network: torch.nn.Module) -> torch.optim.Optimizer:
    """As in the tutorial."""
    if name == "unet":
        return torch.optim.Adam(network.parameters(), 1e-4)
    if name == "dynunet":
        return torch.optim.SGD(
            network.parameters(), FIRST_RATE, momentum=0.99, weight_decay=3e-5, nesterov=True
        )
    return torch.optim.AdamW(network.parameters(), SHORT_RATE, weight_decay=0.01)


def learning_rate(name: str, progress: float) -> float:
    """By the share of the time that is over."""
    if name == "unet":
        return 1e-4
    if name == "dynunet":
        return FIRST_RATE if progress < FIRST_SHARE else LAST_RATE
    if progress < WARM_UP:
        return SHORT_RATE * max(progress, 0.01) / WARM_UP
    return SHORT_RATE * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def train_peer(name: str, root: Path, work: Path, seconds: float) -> tuple[Path, dict[str, Any]]:
    """Train for so many seconds, reading included, then write a mask a test scan.

    The folder of the masks, and how many steps there were.
    """
    from monai.losses import DiceCELoss
    from monai.utils import set_determinism

    began = time.monotonic()
    set_determinism(0)
    network = network_of(name)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = optimiser_of(name, network)
    steps = 0
    network.train()
    for images, labels in _endless(name, root):
        progress = (time.monotonic() - began) / seconds
        if progress >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(name, progress)
        optimiser.zero_grad()
        answers = network(images)
        if answers.ndim == 6:  # deep supervision: the finest, then one a coarser scale
            weights = [0.5**place for place in range(answers.shape[1])]
            losses = [w * loss_of(a, labels) for w, a in zip(weights, answers.unbind(1),
                                                             strict=True)]  # fmt: skip
            loss = torch.stack(losses).sum()
        else:
            loss = loss_of(answers, labels)
        loss.backward()
        optimiser.step()
        steps += 1
    facts = {
        "steps": steps,
        "parameters": sum(p.numel() for p in network.parameters()),
        "batch": BATCH[name],
        "last_loss": float(loss.detach()),
    }
    return _answered(name, network, root, work / "masks"), facts


def _endless(name: str, root: Path) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches, epoch after epoch; what is not random of a scan is done once and kept."""
    from monai.data import CacheDataset, DataLoader

    images = sorted((root / "imagesTr").iterdir())
    files = [{"image": str(p), "label": str(root / "labelsTr" / p.name)} for p in images]
    data = CacheDataset(files, transforms_of(name, True), num_workers=0, progress=False)
    loader = DataLoader(data, batch_size=BATCH[name], shuffle=True, num_workers=0, drop_last=True)
    while True:
        for batch in loader:
            yield batch["image"].as_tensor(), batch["label"].as_tensor()


def _answered(name: str, network: torch.nn.Module, root: Path, folder: Path) -> Path:
    """A mask a test scan, NIfTI on the scan's own grid."""
    import nibabel
    from monai.inferers import sliding_window_inference

    folder.mkdir(parents=True, exist_ok=True)
    prepare = transforms_of(name, False)
    network.eval()
    mirrors = [()] if name == "unet" else [
        axes for count in range(4) for axes in itertools.combinations((2, 3, 4), count)
    ]  # fmt: skip
    for path in sorted((root / "imagesTs").iterdir()):
        stored = nibabel.load(path)
        image = prepare({"image": str(path)})["image"].as_tensor()[None]
        total = torch.zeros(())
        with torch.no_grad():
            for axes in mirrors:
                shares = torch.softmax(sliding_window_inference(
                    image.flip(axes), PATCH, 2, network, 0.5, mode="gaussian"), 1)  # fmt: skip
                total = total + shares.flip(axes)
        mask = total[0].argmax(0).numpy().astype(np.uint8)
        # SpatialPad lays a small scan in the middle; all of this set are stored in RAS
        first = [(wide - side) // 2 for wide, side in zip(mask.shape, stored.shape, strict=True)]
        own = tuple(slice(f, f + side) for f, side in zip(first, stored.shape, strict=True))
        nibabel.save(nibabel.Nifti1Image(mask[own], stored.affine), folder / path.name)
    return folder

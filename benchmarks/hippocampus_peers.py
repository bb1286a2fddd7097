"""MONAI's UNet and DynUNet on the hippocampus, by the recipe of its own tutorials."""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

PATCH = (40, 56, 40)  # covers nearly all of a volume; a multiple of both networks' strides
PEERS = ("unet", "dynunet")
BATCH = 2
RESERVE = 0.02  # of the time, for what comes after the last step


def network_of(name: str) -> torch.nn.Module:
    """The network as in the tutorial: UNet of the spleen's, DynUNet of the Decathlon's."""
    from monai.networks.nets import DynUNet, UNet

    if name == "unet":
        return UNet(
            spatial_dims=3, in_channels=1, out_channels=3, channels=(16, 32, 64, 128),
            strides=(2, 2, 2), num_res_units=2, norm="batch",
        )  # fmt: skip
    return DynUNet(
        spatial_dims=3, in_channels=1, out_channels=3, kernel_size=[3, 3, 3, 3],
        strides=[1, 2, 2, 2], upsample_kernel_size=[2, 2, 2], norm_name="instance",
        deep_supervision=False, res_block=True,
    )  # fmt: skip


def transforms_of(training: bool):
    """Orientation, spacing, z-score; patches about both classes, flips and intensity shifts."""
    from monai import transforms as mt

    keys = ["image", "label"] if training else ["image"]
    modes = ("bilinear", "nearest") if training else ("bilinear",)
    steps = [
        mt.LoadImaged(keys=keys),
        mt.EnsureChannelFirstd(keys=keys),
        mt.Orientationd(keys=keys, axcodes="RAS"),
        mt.Spacingd(keys=keys, pixdim=(1.0, 1.0, 1.0), mode=modes),
        mt.NormalizeIntensityd(keys=["image"]),
    ]
    if training:
        steps += [
            mt.SpatialPadd(keys=keys, spatial_size=PATCH),
            mt.RandCropByPosNegLabeld(keys=keys, label_key="label", spatial_size=PATCH, pos=1,
                                      neg=1, num_samples=1),
            mt.RandFlipd(keys=keys, prob=0.5, spatial_axis=0),
            mt.RandScaleIntensityd(keys=["image"], factors=0.1, prob=0.5),
            mt.RandShiftIntensityd(keys=["image"], offsets=0.1, prob=0.5),
        ]  # fmt: skip
    return mt.Compose(steps)


def train_peer(name: str, train: Path, inputs: Iterable[Path], work: Path, seconds: float) -> Path:
    """Train for so many seconds, then write a mask a test scan; the folder of the masks."""
    import nibabel
    from monai.data import CacheDataset, DataLoader
    from monai.inferers import sliding_window_inference
    from monai.losses import DiceCELoss
    from monai.utils import set_determinism

    set_determinism(0)
    ends = time.monotonic() + seconds * (1 - RESERVE)
    images = sorted((train / "imagesTr").iterdir())
    files = [{"image": str(p), "label": str(train / "labelsTr" / p.name)} for p in images]
    data = CacheDataset(files, transforms_of(True), num_workers=0, progress=False)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=0)
    network = network_of(name)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    steps = 0
    network.train()
    while time.monotonic() < ends:
        for batch in loader:
            optimiser.zero_grad()
            loss = loss_of(network(batch["image"]), batch["label"])
            loss.backward()
            optimiser.step()
            steps += 1
            if time.monotonic() >= ends:
                break
    print(f"{name}: {steps} steps of {BATCH}, {sum(p.numel() for p in network.parameters()):,} "
          "parameters")  # fmt: skip
    folder = work / "masks"
    folder.mkdir(parents=True, exist_ok=True)
    prepare = transforms_of(False)
    network.eval()
    for path in inputs:
        image = prepare({"image": str(path)})["image"]
        with torch.no_grad():
            logits = sliding_window_inference(image[None], PATCH, 2, network, 0.5, mode="gaussian")
        mask = logits[0].argmax(0).numpy().astype(np.uint8)
        # all volumes of this set are stored in RAS at 1 mm, so that nothing has to be undone
        nibabel.save(nibabel.Nifti1Image(mask, nibabel.load(path).affine), folder / path.name)
    return folder

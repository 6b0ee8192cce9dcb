"""Marks the brain in a T1-weighted MR: the method of deepbet 1.0.2 on onnxruntime.

    python brain.py IMAGE.nii.gz MASK.nii.gz [THRESHOLD]

A first network looks at the whole image, coarsely, for where the brain is; a second one looks closely there.
"""

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import onnxruntime
from components import Mask, fill_holes, largest
from numpy.typing import NDArray

Image = NDArray[np.float32]
Box = tuple[slice, slice, slice]

HERE = Path(__file__).parent
COARSE, FINE = (128, 128, 128), (256, 256, 256)  # what the networks work on, in voxels
NO_BRAIN = "There is no brain in this image. Is it a T1-weighted MR of the whole head?"
MARGIN = 0.1  # room around the brain on each side, of its size


def brain(image: Image, threshold: float) -> Mask:
    """The brain in an image whose axes point right, anterior, superior."""
    image = np.nan_to_num(image)
    say(0.1, "looking for the brain")
    coarse = resized(image, COARSE)
    low, high = quantile(coarse, 0.005), quantile(coarse, 0.995)
    if not high > low:
        sys.exit("The image is empty: all its voxels have the same value.")
    found = largest(probability("bbox.onnx", normalized(coarse, low, high)) > 0.5)
    box = surroundings(found, image.shape)
    say(0.3, "marking it")
    near = image[box]
    closely = probability("brain.onnx", normalized(resized(near, FINE), low, high))
    say(0.9, "tidying up")
    mask = np.zeros(image.shape, bool)
    mask[box] = fill_holes(largest(resized(closely, near.shape) > threshold))
    if not mask.any():
        sys.exit(NO_BRAIN)
    return mask


def resized(image: Image, shape: tuple[int, ...]) -> Image:
    """The nearest voxel of each new one, by their centres (torch's "nearest-exact", its rounding, too)."""
    for axis, (old, new) in enumerate(zip(image.shape, shape, strict=True)):
        place = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * (np.float32(old) / np.float32(new))
        image = image.take(np.minimum(place.astype(int), old - 1), axis)
    return image


def quantile(image: Image, part: float) -> np.float32:
    """The value that this part of all voxels do not reach, between neighbours in proportion."""
    rank = np.float32(part) * np.float32(image.size - 1)
    below = int(rank)
    low, high = np.partition(image, (below, below + 1), axis=None)[below : below + 2]
    return np.float32(low + (high - low) * (rank - np.float32(below)))


def normalized(image: Image, low: np.float32, high: np.float32) -> Image:
    """Values clipped to [low, high], with the mean and deviation that the networks were trained on."""
    image = np.clip((image - low) / (high - low), 0, 1)
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64, ddof=1)
    return (0.226 * (image - np.float32(mean)) / np.float32(deviation) + 0.449).astype(np.float32)


def probability(network: str, image: Image) -> Image:
    """What a network says of every voxel: 0 no brain, 1 brain."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.enable_cpu_mem_arena = False  # half the memory, at the same speed
    session = onnxruntime.InferenceSession(HERE / network, options, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"image": image[None, None]})
    brain: Image = np.asarray(answer)[0, 1]  # (1, 2, *shape): no brain, brain
    return brain


def surroundings(found: Mask, shape: tuple[int, ...]) -> Box:
    """A box around what was found, in voxels of an image of this shape; planes with little do not count."""
    box = []
    for axis, length in enumerate(shape):
        others = tuple(other for other in range(3) if other != axis)
        planes = np.nonzero(found.mean(others) > 0.02)[0]
        if not len(planes):
            sys.exit(NO_BRAIN)
        scale = length / found.shape[axis]
        center = np.round(scale * (planes[-1] + 1 + planes[0]) / 2)
        size = np.round(scale * (planes[-1] + 1 - planes[0]) * (1 + 2 * MARGIN))
        box.append(slice(max(0, int(center - size / 2)), min(length, int(center + size / 2))))
    return box[0], box[1], box[2]


def say(part: float, doing: str) -> None:
    print(f"progress {part} {doing}", flush=True)


def main(source: str, target: str, threshold: str = "0.5") -> None:
    original = nib.load(source)
    canonical = nib.as_closest_canonical(original)
    mask = brain(canonical.get_fdata(dtype=np.float32), float(threshold))
    back = nib.orientations.ornt_transform(
        nib.io_orientation(canonical.affine), nib.io_orientation(original.affine)
    )
    turned = nib.orientations.apply_orientation(mask.astype(np.uint8), back)
    nib.save(nib.Nifti1Image(turned, original.affine), target)
    millilitres = mask.sum() * np.prod(original.header.get_zooms()[:3]) / 1000
    say(1, f"{millilitres:.0f} ml of brain")


if __name__ == "__main__":
    main(*sys.argv[1:])

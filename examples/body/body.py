"""Marks the body in a CT: python body.py IMAGE.nii.gz MASK.nii.gz ABOVE"""

import sys

import nibabel as nib
import numpy as np

source, target, above = sys.argv[1:]
image = nib.load(source)
print("progress 0.2 looking at each voxel")
body = image.get_fdata(dtype=np.float32) > float(above)
if not body.any():
    sys.exit(f"Nothing is denser than {above} HU. Is it a CT?")
nib.save(nib.Nifti1Image(body.astype(np.uint8), image.affine), target)
print(f"progress 1 {body.mean():.0%} of the image")

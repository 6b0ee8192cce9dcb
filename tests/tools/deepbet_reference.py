"""What deepbet itself marks: IMAGE.nii.gz -> MASK.nii.gz. For a Python that has deepbet 1.0.2 and torch."""

import sys

from deepbet import BrainExtraction

BrainExtraction(no_gpu=True).run(sys.argv[1], mask_path=sys.argv[2])

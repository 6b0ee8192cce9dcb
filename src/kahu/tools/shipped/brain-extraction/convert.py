"""Makes bbox.onnx and brain.onnx of the weights in the deepbet 1.0.2 wheel. Not needed to run the tool.

pip install --no-deps --target deepbet deepbet==1.0.2
pip install torch==2.13.0 onnx==1.23.2
python convert.py deepbet .
"""

import hashlib
import io
import sys
from pathlib import Path

import torch

MODELS = {  # what is made: what of, its sha256, the edge in voxels of the cube that it works on
    "bbox.onnx": ("bbox_model.pt", "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa", 128),
    "brain.onnx": ("model.pt", "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd", 256),
}


def convert(package: Path, target: Path) -> None:
    """Writes both networks: a cube (1, 1, n, n, n) -> probabilities (1, 2, n, n, n) of no brain, brain."""
    for made, (file, digest, edge) in MODELS.items():
        weights = (package / "data" / "models" / file).read_bytes()
        if hashlib.sha256(weights).hexdigest() != digest:
            sys.exit(f"{file} is not that of deepbet 1.0.2")
        torch.onnx.export(
            torch.jit.load(io.BytesIO(weights), map_location="cpu").eval(),
            (torch.zeros(1, 1, edge, edge, edge),),
            str(target / made),
            input_names=["image"],
            output_names=["probability"],
            opset_version=17,
            dynamo=False,
        )


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

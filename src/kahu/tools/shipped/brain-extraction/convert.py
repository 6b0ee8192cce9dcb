"""Makes bbox.onnx and brain.onnx of the weights in the deepbet 1.0.2 wheel. Not needed to run the tool.

pip download --no-deps deepbet==1.0.2
pip install torch==2.13.0 onnx==1.23.2
python convert.py deepbet-1.0.2-py3-none-any.whl
"""

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import torch

WHEEL = "1999e2ea00ec48f6233b95b96f3901a962d3f70431c63aeb985e8a49a198473c"
MODELS = {  # file here: file in the wheel, edge of the cube it works on in voxels
    "bbox.onnx": ("data/models/bbox_model.pt", 128),
    "brain.onnx": ("data/models/model.pt", 256),
}


def convert(wheel: Path, folder: Path) -> None:
    """Writes both networks to a folder: one cube (1, 1, n, n, n) in, probabilities (1, 2, n, n, n) out."""
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL:
        sys.exit(f"{wheel} is not the wheel of deepbet 1.0.2")
    with zipfile.ZipFile(wheel) as files:
        for name, (inside, edge) in MODELS.items():
            network = torch.jit.load(io.BytesIO(files.read(inside)), map_location="cpu").eval()
            torch.onnx.export(
                network,
                (torch.zeros(1, 1, edge, edge, edge),),
                str(folder / name),
                input_names=["image"],
                output_names=["probability"],
                opset_version=17,
                dynamo=False,
            )


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(__file__).parent)

"""How fast the archive is: Kahu and Orthanc on the same data, in turns, in one run.

    python benchmarks/archive [--quick] [--folder DIR]

Needs Debian's orthanc, orthanc-dicomweb, orthanc-gdcm, dcmtk and nginx-light. Takes up to 25 minutes and 12 GB in
the temporary folder; with `--quick` a smaller archive, about 3 minutes and 3 GB.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # the folder of benchmarks, so that this one is a package in it

if __name__ == "__main__":
    from archive.run import main

    main(__doc__)

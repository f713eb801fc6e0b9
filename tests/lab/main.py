"""The test cluster, a process of its own.

    python tests/lab/main.py FOLDER [--no-nodes] [--fleet N] [--operator hco] [--openshift] ...

Writes FOLDER/kubeconfig (and ca.crt and token beside it), prints "ready FOLDER/kubeconfig" and serves until SIGTERM or
until its stdin ends, so that it never outlives who started it through a pipe.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Everything of the test cluster is imported as lab.*; its own folder holds names of the standard library's.
    sys.path[0] = str(Path(__file__).parents[1])

    from lab.process import main

    main()

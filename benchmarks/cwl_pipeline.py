"""Time and memory from the files of a CWL session at full size to windows a model reads.

The files (303,601 x 38 EEG samples at 1 kHz, 146 volumes of 61x72x61) are simulated and written by
``write_cwl.py`` in a process of its own, so that its memory does not count.

Run: python benchmarks/cwl_pipeline.py
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sklearn_beira import EEGFilter, ROIExtractor, Windower, align
from sklearn_beira.datasets import load_cwl


def peak_gb():
    """Highest resident memory of this process so far, in GB (ru_maxrss is in kB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main():
    writer = Path(__file__).with_name("write_cwl.py")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(writer), folder, "--full"], check=True)
        print(f"{'step':22s} {'seconds':>8s} {'peak GB':>8s}")
        print(f"{'imports':22s} {'':8s} {peak_gb():8.2f}")
        started = clock = time.perf_counter()

        def done(step):
            nonlocal clock
            now = time.perf_counter()
            print(f"{step:22s} {now - clock:8.1f} {peak_gb():8.2f}")
            clock = now

        run = load_cwl(folder, "trio1")
        done("load_cwl")
        extractor = ROIExtractor(
            Path(folder) / "atlas.nii",
            labels=Path(folder) / "labels.tsv",
            confounds=run.confounds,
        )
        y = extractor.fit_transform(run.bold_img)
        done("ROIExtractor")
        X, y = align(run.raw, y, trigger="mri", missing="end")
        done("align")
        X = EEGFilter(1, 45, sfreq=100, notch=50).fit_transform(X)
        done("EEGFilter")
        X = Windower(20.48, 4.0).fit_transform(X)
        done("Windower")
        for start in range(0, len(X), 16):
            np.asarray(X[start : start + 16])
        done("all batches of 16")
        print(f"{'total':22s} {time.perf_counter() - started:8.1f} {peak_gb():8.2f}")
        print(X, y.shape)


if __name__ == "__main__":
    main()

"""The VU data set of NeuroBOLT: EEG-fMRI at rest, with tables of regions."""

import re
from os import PathLike

from .._utils.files import existing_folder
from .study import Study, pair_files, sort_files

T_R, TRIGGER = 2.1, "R149"


def load_vu(data_dir: str | PathLike, subject: str | list[str] | None = None) -> Study:
    """Load the VU data set of NeuroBOLT from disk.

    Simultaneous EEG-fMRI at rest [1]_: 26 channels at 250 Hz, 575 volumes every 2.1 s, as time
    series of the 64 regions of DiFuMo. Nothing is downloaded; the data are in the Hugging Face data
    set ``NeurdyLab/NeuroBOLT``. Its tables are pickles, which may run any code and are not opened
    here: write those that you trust as CSV first, with
    ``pandas.read_pickle(path).to_csv(path.with_suffix(".csv"), index=False)``.

    Parameters
    ----------
    data_dir : path-like
        Folder with ``EEG/sub01-scan01*.set`` and ``fMRI_difumo/sub01-scan01*.csv``.
    subject : str, list of str or None
        Such as ``"sub01"``; None takes all.

    Returns
    -------
    study : Study
        The study; ``study.extract_regions()`` reads the tables. A scan that cannot be used is a row
        of its table, with the reason.

    Raises
    ------
    ValueError
        If there is no such folder, or if it holds neither EEG nor BOLD of that layout.

    References
    ----------
    .. [1] Li, Y. et al. (2024). NeuroBOLT: Resting-state EEG-to-fMRI Synthesis with
       Multi-dimensional Feature Mapping. NeurIPS.

    Examples
    --------
    >>> from sklearn_beira.datasets import load_vu
    >>> study = load_vu("NeuroBOLT/data").extract_regions()  # doctest: +SKIP
    """
    root = existing_folder(data_dir, "data set")
    eegs = sort_files(root.glob("EEG/*.set"), _scan)
    bolds = sort_files(root.glob("fMRI_difumo/*.csv"), _scan)
    return pair_files(root, eegs, bolds, subject, task="rest", t_r=T_R, trigger=TRIGGER)


def _scan(path):
    """Subject and scan of a file, or None."""
    name = re.match(r"(.+?)-scan(\w*?)(?=[_.])", path.name)
    return name and (name[1], name[2])

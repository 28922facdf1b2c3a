"""The NODDI data set: EEG-fMRI at rest, with one marker at the start of the scan."""

from os import PathLike

from .._utils.files import existing_folder
from .study import Study, pair_files, sort_files

T_R, TRIGGER = 2.16, "Scanner/Scan Start"


def load_noddi(data_dir: str | PathLike, subject: str | list[str] | None = None) -> Study:
    """Load the NODDI data set from disk.

    Simultaneous EEG-fMRI at rest [1]_: 64 channels at 250 Hz, 300 volumes every 2.16 s. The EEG has
    a single marker, at the start of the scan. Nothing is downloaded; the data are in the OSF
    project ``94c5t``.

    Parameters
    ----------
    data_dir : path-like
        Folder with ``EEG/<subject>/export/*.vhdr`` and ``fMRI/<subject>/*_cross.nii.gz``.
    subject : str, list of str or None
        Names of folders; None takes all.

    Returns
    -------
    study : Study
        The study. A subject that cannot be used is a row of its table, with the reason.

    Raises
    ------
    ValueError
        If there is no such folder, or if it holds neither EEG nor BOLD of that layout.

    References
    ----------
    .. [1] Deligianni, F. et al. (2014). Relating resting-state fMRI and EEG whole-brain connectomes
       across frequency bands. Frontiers in Neuroscience, 8.

    Examples
    --------
    >>> from sklearn_beira.datasets import load_noddi
    >>> study = load_noddi("NODDI")  # doctest: +SKIP
    """
    root = existing_folder(data_dir, "data set")
    eegs = sort_files(root.glob("EEG/*/export/*.vhdr"), lambda path: path.parts[-3])
    images = sort_files(root.glob("fMRI/*/*_cross.nii.gz"), lambda path: path.parts[-2])
    return pair_files(root, eegs, images, subject, task="rest", t_r=T_R, trigger=TRIGGER)

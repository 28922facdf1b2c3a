"""The NODDI data set: EEG-fMRI at rest, with one marker at the start of the scan."""

from os import PathLike

from .._utils.files import expanded
from .run import Run
from .study import Study

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
        If the folder holds neither EEG nor BOLD of that layout.

    References
    ----------
    .. [1] Deligianni, F. et al. (2014). Relating resting-state fMRI and EEG whole-brain connectomes
       across frequency bands. Frontiers in Neuroscience, 8.

    Examples
    --------
    >>> from sklearn_beira.datasets import load_noddi
    >>> study = load_noddi("NODDI")  # doctest: +SKIP
    """
    root = expanded(data_dir)
    eegs = {path.parts[-3]: path for path in sorted(root.glob("EEG/*/export/*.vhdr"))}
    images = {path.parts[-2]: path for path in sorted(root.glob("fMRI/*/*_cross.nii.gz"))}
    return make_study(root, eegs, images, subject, t_r=T_R, trigger=TRIGGER)


def make_study(root, eegs, bolds, subject, **facts):
    """Pair EEG and BOLD that have the same key, and check them.

    Parameters
    ----------
    root : Path
        Folder, for the error.
    eegs, bolds : dict of str or tuple of str to Path
        Files by subject, or by subject and run.
    subject : str, list of str or None
        Subjects that are wanted.
    **facts
        What all runs have in common.

    Returns
    -------
    study : Study
        The study.
    """
    wanted = [subject] if isinstance(subject, str) else subject
    runs = []
    for key in sorted({*eegs, *bolds}):
        person, run = (key, None) if isinstance(key, str) else key
        if wanted is not None and person not in wanted:
            continue
        eeg, bold = eegs.get(key), bolds.get(key)
        problem = "" if eeg and bold else f"no {'BOLD' if eeg else 'EEG'} of that name"
        runs.append(Run(person, run=run, eeg=eeg, bold=bold, problem=problem, **facts))
        runs[-1].check()
    if not runs:
        raise ValueError(
            f"{root} has neither EEG nor BOLD where they are expected; give the folder of the data "
            f"set, and subjects that it has."
        )
    return Study(runs)

"""The CWL data set: EEG-fMRI with carbon-wire loops, eyes open and closed."""

from pathlib import Path
from typing import Literal

import mne
import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .._utils.files import existing_folder, reading
from ..bold.tables import MOTION, load_table
from ..eeg.channels import MONTAGE
from .run import set_channels

SUBJECTS = ("trio1", "trio2", "trio3", "trio4", "verio5", "verio6", "verio7", "verio8")
PUMPS = ("off", "on")
FILES = {
    "eeg": "{subject}/CWL_Data/eeg/in-scan/{subject}_mrcorrected_eoec_in-scan_hpump-{pump}.set",
    "bold": "{subject}/CWL_Data/mri/epi_normalized/rwa{subject}_eoec_in-scan_hpump-{pump}.nii",
    "motion": "{subject}/CWL_Data/mri/epi_motionparams/rp_a{subject}_eoec_in-scan_hpump-{pump}.txt",
}
TRIGGER = "mri"
SOURCE = (
    "the CWL EEG/fMRI data set (van der Meer et al. 2016), linked from the GitHub repository "
    "jnvandermeer/CWL_Data"
)
DESCR = (
    "Subject {subject}, eyes open and closed in the scanner, helium pump {pump}. {n_triggers} "
    "volume triggers in the EEG, {n_volumes} volumes, one every {t_r:g} s. Source: {source}."
)


def load_cwl(data_dir: str | Path, subject: str, *, pump: Literal["off", "on"] = "off") -> Bunch:
    """Load a run of the CWL data set from disk.

    Simultaneous EEG-fMRI of eight subjects who opened and closed their eyes, recorded with
    carbon-wire loops that sense motion and the pulse artifact [1]_. Gradient artifacts are removed
    from the EEG; the BOLD images are realigned, slice-time corrected and normalized. Nothing is
    downloaded: the author's GitHub repository ``jnvandermeer/CWL_Data`` has a link to the data.

    The EEG may have fewer triggers than there are volumes (143 for 146 in ``trio1``). The loader
    reports both counts; use ``missing`` of :func:`~sklearn_beira.align` to say which end lacks
    triggers.

    Parameters
    ----------
    data_dir : str or path
        Folder that contains the folders of the subjects.
    subject : str
        One of ``trio1`` to ``trio4`` and ``verio5`` to ``verio8``.
    pump : {"off", "on"}, default="off"
        State of the helium pump, whose vibration causes an artifact in the EEG.

    Returns
    -------
    run : Bunch
        ``raw`` (mne Raw, not preloaded, in V, with EEG, EOG and ECG channels, the carbon-wire
        loops as misc, positions, and an annotation ``mri`` per volume), ``bold_img`` (image of
        shape (nx, ny, nz, n_volumes), not loaded), ``confounds`` (DataFrame of shape (n_volumes,
        6): ``trans_x, trans_y, trans_z`` in mm, ``rot_x, rot_y, rot_z`` in rad), ``t_r`` (s, median
        interval of the triggers), ``n_volumes``, ``n_triggers``, ``subject``, ``pump``, ``paths``
        (dict of ``eeg``, ``bold``, ``motion``) and ``DESCR``.

    Raises
    ------
    ValueError
        If the subject or the pump setting is unknown, there is no such folder, a file cannot be
        read or is truncated, or the motion parameters and the volumes differ in number.
    FileNotFoundError
        If a file is missing.

    References
    ----------
    .. [1] van der Meer, J. N. et al. (2016). Carbon-wire loop based artifact correction
       outperforms post-processing EEG/fMRI corrections - A validation of a real-time simultaneous
       EEG/fMRI correction method. NeuroImage, 125.

    Examples
    --------
    >>> from sklearn_beira.datasets import load_cwl
    >>> run = load_cwl("CWL_Data", "trio1")  # doctest: +SKIP
    >>> run.n_volumes, run.n_triggers  # doctest: +SKIP
    (146, 143)
    """
    for name, value, known in (("subject", subject, SUBJECTS), ("pump", pump, PUMPS)):
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}; expected one of {', '.join(known)}.")
    root = existing_folder(data_dir, "data set")
    paths = {kind: root / name.format(subject=subject, pump=pump) for kind, name in FILES.items()}
    for kind, path in paths.items():
        if not path.is_file():
            raise FileNotFoundError(
                f"no {kind} file at {path}; data_dir must be the folder that contains the subjects "
                f"of {SOURCE}."
            )
    raw = _read_eeg(paths["eeg"])
    t_r, n_triggers = _read_triggers(raw, paths["eeg"])
    bold_img = _read_bold(paths["bold"])
    confounds = _read_motion(paths["motion"])
    n_volumes = bold_img.shape[3]
    if len(confounds) != n_volumes:
        raise ValueError(
            f"{paths['motion']} has {len(confounds)} rows of motion parameters, but "
            f"{paths['bold']} has {n_volumes} volumes; take both from the same run."
        )
    facts = {"t_r": t_r, "n_volumes": n_volumes, "n_triggers": n_triggers}
    facts |= {"subject": subject, "pump": pump}
    text = DESCR.format(**facts, source=SOURCE)
    return Bunch(raw=raw, bold_img=bold_img, confounds=confounds, paths=paths, DESCR=text, **facts)


def _read_eeg(path):
    try:
        raw = mne.io.read_raw_eeglab(path, preload=False, verbose="error")
        raw[:, raw.n_times - 1]  # a truncated file may have a complete header
    except (ImportError, FileNotFoundError):
        raise
    except Exception as error:
        # A damaged .set may raise almost any error inside scipy, h5py and MNE.
        raise ValueError(_unreadable(path, "an EEGLAB recording", error)) from error
    set_channels(raw, None)
    eeg = mne.pick_types(raw.info, eeg=True)
    if not any(np.isfinite(raw.info["chs"][i]["loc"][:3]).all() for i in eeg):
        raw.set_montage(MONTAGE, match_case=False, on_missing="ignore", verbose="error")
    return raw


def _read_triggers(raw, path):
    """Return the time between volumes in s, and the number of triggers."""
    onsets = raw.annotations.onset[raw.annotations.description == TRIGGER]
    if len(onsets) < 2:
        found = ", ".join(sorted(set(raw.annotations.description))) or "none"
        raise ValueError(
            f"{path} has {len(onsets)} annotation(s) {TRIGGER!r}, but one per volume is expected; "
            f"annotations found: {found}."
        )
    # The median is robust to missing and doubled triggers. Triggers are stored as samples, so more
    # digits are not meaningful.
    return float(np.round(np.median(np.diff(np.sort(onsets))), 6)), len(onsets)


def _read_bold(path):
    from ..bold.images import open_image  # which imports nilearn

    img = open_image(path, "BOLD")
    if img.ndim != 4:
        raise ValueError(f"{path} has shape {img.shape}; expected four dimensions, time last.")
    with reading(path):
        img.dataobj[..., -1]  # a truncated file may have a complete header
    return img


def _read_motion(path):
    table = load_table(path)
    try:
        values = table.to_numpy(dtype=float)
    except ValueError as error:
        raise ValueError(_unreadable(path, "a table of numbers", error)) from error
    if values.shape[1:] != (len(MOTION),) or not np.isfinite(values).all():
        raise ValueError(
            f"{path} has shape {values.shape}; expected finite numbers (n_volumes, {len(MOTION)}), "
            f"the motion parameters of SPM."
        )
    return pd.DataFrame(values, columns=list(MOTION))


def _unreadable(path, what, error):
    return f"{path} cannot be read as {what}; it may be truncated, so copy it again ({error})."

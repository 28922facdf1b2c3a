"""Draw the screen of a live session for the guide: ``python docs/images/make_live_screen.py``."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_beira import BEIRARegressor, BoldTwin, EEGFilter, Windower, align, make_eeg_fmri
from sklearn_beira.realtime.names import EXTRAS
from sklearn_beira.realtime.screen import Screen

plt.switch_backend("Agg")
study = make_eeg_fmri(n_runs=2, duration=300.0, random_state=0)
X, y = align(study.raws, study.bolds, trigger="mri", tmin=-20.0, verbose="error")
steps = [("filter", EEGFilter(causal=True)), ("window", Windower(20.0))]
model = Pipeline([*steps, ("beira", BEIRARegressor(verbose=False))])
model.fit(X[X.groups == 0], y[X.groups == 0])

eeg = X.recordings[1][:, : round(140 * X.sfreq)].copy()
eeg[:, round(100 * X.sfreq) : round(106 * X.sfreq)] *= 12.0  # movement
twin = BoldTwin(model, X.sfreq, step=1.0)
times, bold = zip(*twin.push(eeg), strict=True)
feedback = np.clip((np.array(bold)[:, 0] - np.mean(bold, 0)[0]) / np.std(bold, 0)[0], -3, 3)
age = np.full(len(times), 0.012)
screen = Screen([*twin.region_names, *EXTRAS], minutes=2.0)
screen.add(times, np.column_stack([bold, age, twin.quality, feedback]))
screen.draw(times[-1])
screen.fig.savefig(Path(__file__).with_name("live_screen.png"), dpi=80)

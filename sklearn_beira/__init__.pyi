from . import (
    alignment as alignment,
    baselines as baselines,
    bold as bold,
    datasets as datasets,
    eeg as eeg,
    evaluation as evaluation,
    exceptions as exceptions,
    features as features,
    inspection as inspection,
    persistence as persistence,
    regressor as regressor,
    viz as viz,
)
from ._version import __version__ as __version__
from .alignment import align as align
from .baselines import (
    BandedRidgeCV as BandedRidgeCV,
    BlockedRidgeCV as BlockedRidgeCV,
    FingerprintRidgeCV as FingerprintRidgeCV,
    SparseGroupLassoCV as SparseGroupLassoCV,
    SPoCRidgeCV as SPoCRidgeCV,
    make_alpha_hrf as make_alpha_hrf,
    make_band_power_ridge as make_band_power_ridge,
    make_banded_ridge as make_banded_ridge,
    make_baselines as make_baselines,
    make_brainwavelinker as make_brainwavelinker,
    make_eeg_fingerprint as make_eeg_fingerprint,
    make_eegnet as make_eegnet,
    make_mean as make_mean,
    make_pls as make_pls,
    make_sparse_group_lasso as make_sparse_group_lasso,
    make_spoc_ridge as make_spoc_ridge,
    make_tangent_space_ridge as make_tangent_space_ridge,
    make_time_polynomial as make_time_polynomial,
)
from .bold import ROIExtractor as ROIExtractor
from .datasets import load_cwl as load_cwl, make_eeg_fmri as make_eeg_fmri
from .eeg import (
    EEGFilter as EEGFilter,
    EEGWindows as EEGWindows,
    Windower as Windower,
    set_cache_size as set_cache_size,
    tail_split as tail_split,
)
from .evaluation import (
    BlockedKFold as BlockedKFold,
    Comparison as Comparison,
    NullTest as NullTest,
    compare as compare,
    delay_curve as delay_curve,
    effective_n as effective_n,
    group_scores as group_scores,
    kpss as kpss,
    null_test as null_test,
    paired_test as paired_test,
    paper_protocol as paper_protocol,
    pearson_r as pearson_r,
    pearson_r_scorer as pearson_r_scorer,
    r_interval as r_interval,
    r_p_value as r_p_value,
    region_scorers as region_scorers,
    region_scores as region_scores,
)
from .exceptions import (
    GapWarning as GapWarning,
    ModelFileError as ModelFileError,
    StationarityWarning as StationarityWarning,
)
from .features import (
    BANDS as BANDS,
    BandCovariance as BandCovariance,
    BandPower as BandPower,
    BandTangentSpace as BandTangentSpace,
    HRFBandPower as HRFBandPower,
    TimePolynomial as TimePolynomial,
    band_power as band_power,
    hrf_at as hrf_at,
    response_basis as response_basis,
)
from .inspection import (
    band_importance as band_importance,
    branch_envelopes as branch_envelopes,
    branch_importance as branch_importance,
    branch_patterns as branch_patterns,
    channel_importance as channel_importance,
    cross_spectrum as cross_spectrum,
    maps_of_random_weights as maps_of_random_weights,
    match_branches as match_branches,
    randomize_branches as randomize_branches,
    read_branches as read_branches,
)
from .persistence import (
    export_network as export_network,
    load_model as load_model,
    read_metadata as read_metadata,
    save_model as save_model,
)
from .regressor import (
    LOSSES as LOSSES,
    Autoencoder as Autoencoder,
    BEIRARegressor as BEIRARegressor,
    BrainWaveLinker as BrainWaveLinker,
    Compact as Compact,
    CustomNetwork as CustomNetwork,
    EEGNet as EEGNet,
    Training as Training,
    WeightedLoss as WeightedLoss,
    make_paper_beira as make_paper_beira,
)
from .viz import (
    make_report as make_report,
    plot_alignment as plot_alignment,
    plot_branch as plot_branch,
    plot_branches as plot_branches,
    plot_comparison as plot_comparison,
    plot_delay_curve as plot_delay_curve,
    plot_predictions as plot_predictions,
    plot_rois as plot_rois,
    plot_scores as plot_scores,
    plot_spectrum as plot_spectrum,
    plot_time_course as plot_time_course,
    plot_training as plot_training,
)

"""All studies by name."""

from amplify.experiments.ablation import Ablation
from amplify.experiments.beyond import Beyond
from amplify.experiments.embodiment import Embodiment
from amplify.experiments.encoders import Encoders
from amplify.experiments.engine.study import Study
from amplify.experiments.few_shot import FewShot
from amplify.experiments.libero import LiberoObject, LiberoSmoke
from amplify.experiments.libero_zero_shot import LiberoSpatialZeroShot, LiberoZeroShot
from amplify.experiments.trackers import Trackers
from amplify.experiments.tracks import Tracks
from amplify.experiments.zero_shot import ZeroShot

_LIBERO = (LiberoSmoke, LiberoObject, LiberoZeroShot, LiberoSpatialZeroShot)
_ALL = (ZeroShot, FewShot, Embodiment, Tracks, Trackers, Ablation, Beyond, Encoders, *_LIBERO)
STUDIES: dict[str, type[Study]] = {study.name: study for study in _ALL}
"""What ``amplify experiment`` can run."""

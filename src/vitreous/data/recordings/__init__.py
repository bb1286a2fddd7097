"""Recordings of the brain: from files as laboratories have them to one tensor of trials."""

from vitreous.data.recordings.read import holds_recordings, read_recordings
from vitreous.data.recordings.settings import RecordingSettings, TrialFormat
from vitreous.data.recordings.trials import TrialFacts, Trials

__all__ = [
    "RecordingSettings",
    "TrialFacts",
    "TrialFormat",
    "Trials",
    "holds_recordings",
    "read_recordings",
]

"""What is no electrode is known by its name, and electrodes are not taken for it."""

import pytest
from tests.recording_files import write_edf

from vitreous.data.recordings import RecordingSettings, read_recordings
from vitreous.data.recordings.channels import channel_kinds
from vitreous.data.recordings.inspect import inspect_recordings


def kinds_of(*names: str) -> list[str]:
    """Kinds by name alone: EDF files call all of them EEG."""
    return channel_kinds(names, ["eeg"] * len(names))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        # BioSemi, BrainVision, ANT, g.tec, Emotiv; the channels of EDF+ and of MNE
        (
            "stim",
            "TRIG;Trigger;Status;STI 014;STI101;STIM;Marker;DIN1;EDF Annotations;Event marker",
        ),
        ("stim", "label;Class;cue;PHOTIC-REF"),
        (
            "misc",
            "EXG1;EXG8;GSR1;GSR2;Erg1;Resp;Plet;Temp;DC1;DC01;AUX1;BIP2;ACC_X;AccX;GYROX;CQ_AF3",
        ),
        # sleep laboratories, as PhysioNet, SHHS, MASS and ISRUC write them
        ("eog", "LOC;ROC;LOC-A2;EEG ROC-REF;E1-M2;E2-M2;E1;HEO;VEOG;EOG horizontal;Left Eye"),
        ("emg", "chin;Chin1-Chin2;EMG submental;Leg 1;LLEG;PLMl"),
        ("ecg", "ECG;EEG EKG1-REF;ECG II"),
        (
            "misc",
            "abdomen;ABDO RES;thorax;THOR RES;Effort THO;SpO2;SaO2;OX STAT;pulse;PULSE RATE;H.R.",
        ),
        (
            "misc",
            "Pos;position;snore;Airflow;NEW AIR;Resp oro-nasal;Respiration;Temp rectal;LIGHT;nd",
        ),
    ],
)
def test_other_channels_are_known_by_their_usual_names(kind, names):
    found = {name: kinds_of(name)[0] for name in names.split(";")}
    assert found == dict.fromkeys(found, kind)


def test_electrodes_stay_electrodes():
    names = (
        "Fp1;T1;T2;A1;A2;M1;M2;T3;Nz;Sp1;Pg1;CB1;I1;OI1;PO3;P1;TPP9h;Fc5.;Fp1-F7;C3-M2;E1;E2;E11;"
        "B12;1;X1;lead7;A1-Ref;Fz-LE;Tp9;VREF"
    )
    assert set(kinds_of(*names.split(";"))) == {"eeg"}


def test_triggers_of_an_edf_file_are_not_learned_from_and_it_is_said(tmp_path):
    channels = ("C3", "TRIG", "Cz", "EXG1", "LOC")
    write_edf(tmp_path / "a.edf", seconds=8.0, channels=channels)
    source = read_recordings(tmp_path, RecordingSettings())
    assert source.trials.channels == ("C3", "Cz")
    (said,) = [text for text in source.warnings if "no EEG" in text]
    assert "left out: TRIG, EXG1, LOC (--channels" in said
    assert said in inspect_recordings(tmp_path, RecordingSettings()).findings
    named = read_recordings(tmp_path, RecordingSettings(channels="C3,EXG1"))
    assert named.trials.channels == ("C3", "EXG1")


def test_what_other_recordings_have_beside_is_said_too(tmp_path):
    write_edf(tmp_path / "a.edf", seconds=8.0, channels=("C3", "Cz"))
    write_edf(tmp_path / "b.edf", seconds=8.0, channels=("C3", "Cz", "GSR1"))
    source = read_recordings(tmp_path, RecordingSettings())
    assert any("no EEG, so left out: GSR1" in text for text in source.warnings)


def test_kinds_in_the_table_beside_count(tmp_path):
    write_edf(tmp_path / "sub-1_eeg.edf", seconds=8.0, channels=("C3", "Cz", "lead7"))
    (tmp_path / "sub-1_channels.tsv").write_text("name\ttype\nlead7\tPPG\nC3\tEEG\n")
    assert read_recordings(tmp_path, RecordingSettings()).trials.channels == ("C3", "Cz")

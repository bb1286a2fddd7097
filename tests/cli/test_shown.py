from vitreous.cli.shown import print_result

SCORE = {"value": 0.4444, "low": 0.189, "high": 0.733, "higher_is_better": True, "unit": None}
METRICS = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), SCORE)
NAMES = (
    "majority class",
    "CSP and linear discriminant",
    "tangent space and logistic regression",
    "ridge on log band power",
)


def shown(capsys, monkeypatch, baselines):
    monkeypatch.setenv("COLUMNS", "80")
    evaluation = {"n": 9, "metrics": METRICS, "baselines": dict.fromkeys(baselines, METRICS)}
    print_result(evaluation, "test part")
    return capsys.readouterr().out


def test_many_baselines_are_read_in_full_on_a_narrow_terminal(capsys, monkeypatch):
    said = shown(capsys, monkeypatch, NAMES)
    assert all(name in said for name in NAMES)
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    assert said.count("44.4 %") == 2 + 2 * len(NAMES)


def test_two_baselines_stand_beside_the_network(capsys, monkeypatch):
    said = shown(capsys, monkeypatch, NAMES[:2])
    rows = [line for line in said.splitlines() if line.startswith(" accuracy")]
    assert len(rows) == 1
    assert rows[0].count("44.4 %") == 3

from __future__ import annotations

import asyncio
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_agentrm.errors import CheckpointError, ConfigurationError
from langchain_agentrm.reward_models import FunctionRewardModel
from langchain_agentrm.reward_models.calibration import (
    CalibratedRewardModel,
    Calibration,
    expected_calibration_error,
    fit_isotonic,
    fit_temperature,
    load_calibration,
    save_calibration,
)
from langchain_agentrm.testing.mini_checkpoint import write_mini_checkpoint
from langchain_agentrm.testing.reward_model import RewardModelConformance
from langchain_agentrm.testing.scripted import ScriptedRewardModel
from langchain_agentrm.trajectory import Trajectory, Turn

FITS = [fit_temperature, fit_isotonic]
TEMPERATURE = Calibration("temperature", temperature=0.5, bias=1.0)
ISOTONIC = Calibration("isotonic", knots=((0.0, 0.1), (1.0, 0.1), (2.0, 0.9)))


def labelled(n, *, scale=2.0, offset=-1.0, seed=0):
    """Scores with outcomes drawn by a sigmoid that the fit does not know."""
    rng = random.Random(seed)
    scores = [rng.gauss(0.5, 1.0) for _ in range(n)]
    chance = [1 / (1 + math.exp(-(scale * s + offset))) for s in scores]
    return scores, [float(rng.random() < p) for p in chance]


class TestTemperature(RewardModelConformance):
    @pytest.fixture
    def reward_model(self):
        raw = FunctionRewardModel(
            lambda ts: [len(t.turns) + len(t.turns[-1].action) / 9 for t in ts]
        )
        return CalibratedRewardModel(raw, TEMPERATURE)


class TestIsotonic(TestTemperature):
    @pytest.fixture
    def reward_model(self):
        raw = FunctionRewardModel(lambda ts: [len(t.turns) for t in ts])
        return CalibratedRewardModel(raw, ISOTONIC)


@pytest.mark.parametrize("fit", FITS)
def test_scores_become_probabilities_on_data_that_the_fit_never_saw(fit):
    calibration = fit(*labelled(3000))
    scores, outcomes = labelled(3000, seed=1)
    plain = [min(1.0, max(0.0, s)) for s in scores]
    mapped = [calibration(s) for s in scores]
    before = expected_calibration_error(plain, outcomes)
    after = expected_calibration_error(mapped, outcomes)
    assert after < 0.05 < before
    assert calibration.samples == 3000
    assert calibration.error < 0.05


def test_the_parameters_that_made_the_data_are_found():
    fitted = fit_temperature(*labelled(20_000, scale=2.0, offset=-1.0))
    assert fitted.temperature == pytest.approx(0.5, rel=0.1)
    assert fitted.bias == pytest.approx(0.5, abs=0.1)


def test_soft_outcomes_are_followed():
    scores = [i / 100 for i in range(100)]
    fitted = fit_isotonic(scores, [s * s for s in scores])
    assert fitted(0.5) == pytest.approx(0.25, abs=0.02)


def test_outcomes_apart_keep_a_finite_temperature():
    fitted = fit_temperature([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert fitted.temperature > 0.01
    assert fitted(0.1) < 0.5 < fitted(0.9)


scores_ = st.floats(-1e4, 1e4)
cases = st.lists(st.tuples(scores_, st.floats(0, 1)), min_size=2, max_size=30)


@given(cases, st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("fit", FITS)
def test_an_order_is_never_reversed(fit, data, asked):
    try:
        calibration = fit([s for s, _ in data], [y for _, y in data])
    except ConfigurationError:
        return
    mapped = [calibration(s) for s in sorted(asked)]
    assert mapped == sorted(mapped)
    assert all(0 <= value <= 1 for value in mapped)


@given(st.floats(-40, 40), st.floats(0.01, 100), st.floats(-5, 5))
@settings(max_examples=200, deadline=None)
def test_neighbouring_floats_keep_their_order(score, temperature, bias):
    calibration = Calibration("temperature", temperature=temperature, bias=bias)
    values = [score]
    for _ in range(5):
        values.append(math.nextafter(values[-1], math.inf))
    mapped = [calibration(v) for v in values]
    assert mapped == sorted(mapped)


@given(cases, scores_, st.floats(1e-6, 1.0))
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("fit", FITS)
def test_what_was_a_tie_stays_within_the_new_resolution(fit, data, score, resolution):
    try:
        calibration = fit([s for s, _ in data], [y for _, y in data])
    except ConfigurationError:
        return
    raw = ScriptedRewardModel({}, resolution=resolution)
    allowed = CalibratedRewardModel(raw, calibration).resolution
    moved = calibration(score + resolution) - calibration(score)
    # Adding to a large score rounds what was added.
    assert moved <= allowed * (1 + 1e-6) + 1e-9 * calibration.slope + 1e-12


def test_isotonic_lines_have_no_cliffs():
    fitted = fit_isotonic([0.0, 0.5, 0.5001, 1.0], [0.0, 0.1, 0.9, 1.0])
    assert len(fitted.knots) == 3
    assert fitted.slope <= 100
    assert fitted(0.50005) == pytest.approx(0.5)


def test_outside_the_knots_the_line_is_level():
    assert ISOTONIC(-5.0) == 0.1
    assert ISOTONIC(9.0) == 0.9
    assert ISOTONIC(1.5) == pytest.approx(0.5)


@pytest.mark.parametrize("fit", FITS)
def test_scores_that_floats_hardly_tell_apart_are_refused(fit):
    with pytest.raises(ConfigurationError, match=r"from 0\.0 to 5e-324 lie too close"):
        fit([0.0, 5e-324], [0.0, 1.0])


def test_far_scores_do_not_overflow():
    assert TEMPERATURE(-1e308) >= 0.0
    assert TEMPERATURE(1e308) == 1.0


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(
    ("scores", "outcomes", "named"),
    [
        ([1.0], [1.0, 0.0], "1 scores and 2 outcomes"),
        ([1.0, 1.0], [0.0, 1.0], "1 different scores"),
        ([], [], "0 trajectories"),
        ([1.0, math.nan], [0.0, 1.0], "nan"),
        ([1.0, 2.0], [0.0, 2.0], "2.0"),
    ],
)
def test_data_that_cannot_be_used_is_named(fit, scores, outcomes, named):
    with pytest.raises(ConfigurationError, match=named):
        fit(scores, outcomes)


def test_a_reward_model_that_is_wrong_way_round_is_not_turned():
    with pytest.raises(ConfigurationError, match="do not go with success"):
        fit_temperature([1, 2, 3, 4], [1, 1, 0, 0])
    assert fit_isotonic([1, 2, 3, 4], [1, 1, 0, 0]).knots == ((2.5, 0.5),)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "spline"},
        {"kind": "temperature", "temperature": 0.0},
        {"kind": "temperature", "temperature": -1.0},
        {"kind": "temperature", "temperature": math.nan},
        {"kind": "temperature", "bias": math.inf},
        {"kind": "isotonic"},
        {"kind": "isotonic", "knots": ((0.0, 0.5), (1.0, 0.4))},
        {"kind": "isotonic", "knots": ((1.0, 0.1), (1.0, 0.4))},
        {"kind": "isotonic", "knots": ((0.0, math.nan),)},
        {"kind": "isotonic", "knots": ((0.0, 0.5), (1.0, 1.5))},
    ],
)
def test_a_map_that_does_not_rise_is_refused(fields):
    with pytest.raises(ConfigurationError, match="no calibration"):
        Calibration(**fields)


@pytest.mark.parametrize("calibration", [TEMPERATURE, ISOTONIC])
def test_json_there_and_back(calibration):
    text = json.dumps(calibration.to_json())
    assert Calibration.from_json(json.loads(text)) == calibration


@pytest.mark.parametrize(
    "data",
    [{}, [], {"kind": "isotonic", "knots": [1]}, {"kind": "isotonic", "knots": 1}],
)
def test_json_that_is_none_is_refused(data):
    with pytest.raises(ConfigurationError, match="no calibration"):
        Calibration.from_json(data)


def test_saving_keeps_the_other_keys(tmp_path):
    file = tmp_path / "agentrm.json"
    file.write_text('{"serializer": "agentrm-v1", "seed": 3}')
    save_calibration(tmp_path, TEMPERATURE)
    save_calibration(tmp_path, ISOTONIC)
    kept = json.loads(file.read_text())
    assert kept.pop("calibration")["kind"] == "isotonic"
    assert kept == {"serializer": "agentrm-v1", "seed": 3}
    assert load_calibration(tmp_path) == ISOTONIC
    assert [p.name for p in tmp_path.iterdir()] == ["agentrm.json"]


def test_a_folder_without_manifest_or_calibration_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"agentrm\.json"):
        save_calibration(tmp_path, TEMPERATURE)
    (tmp_path / "agentrm.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no 'calibration'"):
        load_calibration(tmp_path)
    (tmp_path / "agentrm.json").write_text('{"calibration": {"kind": "isotonic"}}')
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_calibration(tmp_path)
    (tmp_path / "agentrm.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_calibration(tmp_path)


def trajectories(*actions):
    return [Trajectory((Turn("o", a),)) for a in actions]


def test_errors_pass_through_and_the_raw_score_stays_visible():
    raw = ScriptedRewardModel({"a": 1.0}, resolution=0.2, comparable="depth")
    model = CalibratedRewardModel(raw, TEMPERATURE)
    for batch in (
        model.score(trajectories("a", "b")),
        asyncio.run(model.ascore(trajectories("a", "b"))),
    ):
        one, other = batch.items
        assert one.value == 0.5
        assert one.signals == {"raw": 1.0}
        assert other.value is None
        assert "'b'" in other.error
        assert batch.usage.requests == 1
    assert model.comparable == "depth"
    assert model.resolution == pytest.approx(0.1)


def test_a_checkpoint_brings_its_calibration(tmp_path):
    from langchain_agentrm.reward_models import AgentRM

    folder = write_mini_checkpoint(tmp_path / "rm", "reward")
    save_calibration(folder, TEMPERATURE)
    model = CalibratedRewardModel.from_checkpoint(folder, max_length=200)
    paths = trajectories("go", "stop")
    raw = [s.value for s in AgentRM(folder).score(paths).items]
    mapped = [s.value for s in model.score(paths).items]
    assert mapped == pytest.approx([TEMPERATURE(v) for v in raw], abs=1e-5)


def test_the_error_of_nothing_and_of_a_perfect_forecast():
    assert expected_calibration_error([], []) == 0.0
    assert expected_calibration_error([0.0, 1.0], [0.0, 1.0]) == 0.0
    assert expected_calibration_error([0.9, 0.9], [0.0, 1.0]) == pytest.approx(0.4)

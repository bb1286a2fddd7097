"""Which recipe a training takes, and what of a sample its network sees."""

from dataclasses import replace

from vitreous.data.augmentation import default_augmentation
from vitreous.errors import RequestError
from vitreous.inference import ONE_VIEW, Views
from vitreous.networks import Weights
from vitreous.networks.weights import classifier_fits
from vitreous.runs.places import placed_task
from vitreous.runs.prepare import Prepared
from vitreous.runs.request import TrainRequest
from vitreous.runs.whole_scans import recipe_for_whole_scans
from vitreous.tasks import Task
from vitreous.training.batches import TrainingData
from vitreous.training.eeg_recipes import eeg_recipe
from vitreous.training.fine_tuning import fine_tuning_recipe
from vitreous.training.recipe import Recipe, pocket_recipe, recipe_for

PIECES_A_CROP = 8  # starts of pieces within one piece's length: neighbours share 7/8


def network_input_shape(prepared: Prepared, request: TrainRequest) -> tuple[int, int, int]:
    """(channels, height, width) of what the network takes: a picture, a trial, a piece of one."""
    height, width = prepared.pixel_format.size
    crop_samples = crops_of(prepared, request).crop_samples
    return prepared.pixel_format.channels, height, crop_samples or width


def crops_of(prepared: Prepared, request: TrainRequest) -> Views:
    """The pieces of trials that --crop asks for; one view of the whole without it.

    Raises `RequestError` where trials are no longer than a piece.
    """
    trials = prepared.source.trials
    if request.crop is None or trials is None:
        return ONE_VIEW
    return crop_views(request.crop, trials.sampling_rate_hz, trials.values.shape[2])


def crop_views(seconds: float, sampling_rate_hz: float, samples: int) -> Views:
    """Pieces of so many seconds of trials of so many samples, whose answers are averaged.

    Raises `RequestError` where trials are no longer than a piece.
    """
    length = round(seconds * sampling_rate_hz)
    if not 1 <= length < samples:
        lasting = samples / sampling_rate_hz
        raise RequestError(
            f"--crop {seconds:g}: trials last {lasting:g} s; use fewer seconds (and at least one "
            "sample), or leave it out"
        )
    return Views(crop_samples=length, crop_stride=max(1, length // PIECES_A_CROP))


def recipe_of(
    prepared: Prepared,
    data: TrainingData,
    task: Task,
    request: TrainRequest,
    network: str,
    weights: Weights | None = None,
) -> Recipe:
    """The recipe by network, start and size of the set, with what was asked for in its place."""
    pixel_format = prepared.pixel_format
    if prepared.source.trials is not None:
        recipe = _trial_recipe(data, request, network)
        return _as_asked(replace(recipe, views=crops_of(prepared, request)), request)
    if placed := placed_task(task):
        return _as_asked(placed.recipe(prepared, data, request, weights is not None), request)
    if prepared.scans is not None:
        return _as_asked(recipe_for_whole_scans(prepared, data), request)
    augmentation = default_augmentation(pixel_format.channels, *pixel_format.size)
    recipe_made = pocket_recipe if network == "pocket" else recipe_for
    recipe = recipe_made(len(data.train_rows), pixel_format.size, augmentation)
    if weights is not None:
        recipe = fine_tuning_recipe(len(data.train_rows), pixel_format.channels, pixel_format.size)
        # a classifier that already answers for these classes is not fitted anew
        recipe = replace(recipe, head_first=not classifier_fits(weights, task.classes))
    return _as_asked(recipe, request)


def _trial_recipe(data: TrainingData, request: TrainRequest, network: str) -> Recipe:
    recipe = eeg_recipe(network, len(data.train_rows))
    if data.kinds is None and request.recombine:
        raise RequestError("--recombine: puts trials of one class together; these have no class")
    segments = 0 if data.kinds is None else request.recombine
    return recipe if segments is None else replace(recipe, recombined_segments=segments)


def _as_asked(recipe: Recipe, request: TrainRequest) -> Recipe:
    changes = {
        name: value
        for name, value in (
            ("batch_size", request.batch_size),
            ("learning_rate", request.learning_rate),
        )
        if value is not None
    }
    return replace(recipe, **changes)

"""The operation itself: what a convolution computes, cell by cell, and which cells it sees.

`reference` computes it straight from the formula; `terms`, `pooling` and `normalisation` open a
single cell; `arithmetic` says how large maps become and what sees what; `kernels` holds the
kernels that people wrote by hand. NumPy is all that is needed. (`fast` has equivalent forms of
EEG networks' convolutions, in PyTorch; import it by name.)
"""

from vitreous.convolution.arithmetic import (
    Branches,
    Reach,
    TransposedWindow,
    WholeAxis,
    Window,
    map_sizes,
    merge,
    misalignment,
    output_size,
    projective_box,
    projective_cells,
    reach,
    receptive_box,
    receptive_cells,
    transposed_output_size,
)
from vitreous.convolution.kernels import KERNELS, ClassicKernel, frequency_response, kernel
from vitreous.convolution.normalisation import (
    BatchNormSteps,
    Folded,
    batch_norm_steps,
    fold_batch_norm,
)
from vitreous.convolution.pooling import (
    MaximumTerms,
    adaptive_average_pooling_terms,
    average_pooling_terms,
    max_pooling_terms,
)
from vitreous.convolution.reference import convolve, cross_correlate, transposed_convolve
from vitreous.convolution.terms import (
    Difference,
    Summary,
    Term,
    Terms,
    convolution_terms,
    linear_terms,
    transposed_convolution_terms,
)

__all__ = [
    "KERNELS",
    "BatchNormSteps",
    "Branches",
    "ClassicKernel",
    "Difference",
    "Folded",
    "MaximumTerms",
    "Reach",
    "Summary",
    "Term",
    "Terms",
    "TransposedWindow",
    "WholeAxis",
    "Window",
    "adaptive_average_pooling_terms",
    "average_pooling_terms",
    "batch_norm_steps",
    "convolution_terms",
    "convolve",
    "cross_correlate",
    "fold_batch_norm",
    "frequency_response",
    "kernel",
    "linear_terms",
    "map_sizes",
    "max_pooling_terms",
    "merge",
    "misalignment",
    "output_size",
    "projective_box",
    "projective_cells",
    "reach",
    "receptive_box",
    "receptive_cells",
    "transposed_convolution_terms",
    "transposed_convolve",
    "transposed_output_size",
]

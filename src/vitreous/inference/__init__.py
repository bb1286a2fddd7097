"""A network applied: batches now; tiles and mirrors where a task needs them."""

from vitreous.inference.apply import outputs_of, outputs_of_rows
from vitreous.inference.compute import PLAIN, Compute

__all__ = ["PLAIN", "Compute", "outputs_of", "outputs_of_rows"]

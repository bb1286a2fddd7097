"""A network applied: batches now; tiles and mirrors where a task needs them."""

from vitreous.inference.apply import outputs_of, outputs_of_rows

__all__ = ["outputs_of", "outputs_of_rows"]

"""A network applied: batches now; tiles and mirrors where a task needs them."""

from vitreous.inference.apply import answering, outputs_of, outputs_of_rows

__all__ = ["answering", "outputs_of", "outputs_of_rows"]

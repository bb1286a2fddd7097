"""A network applied: in batches, of one view of a picture or several; by tiles to large ones."""

from vitreous.inference.apply import outputs_of, outputs_of_rows
from vitreous.inference.compute import PLAIN, Compute
from vitreous.inference.views import ONE_VIEW, Views

__all__ = ["ONE_VIEW", "PLAIN", "Compute", "Views", "outputs_of", "outputs_of_rows"]

"""Building blocks of a ``recipe.py``: scikit-learn pipelines for numbers, categories and booleans mixed.

What they make is scikit-learn alone: a fitted model needs nothing of this room to be loaded.
"""

from perennial.recipes.columns import encoded, scaled
from perennial.recipes.models import boosting, forest, linear

__all__ = ["boosting", "encoded", "forest", "linear", "scaled"]

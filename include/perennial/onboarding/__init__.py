"""From a table of your own to a model folder: what its columns are, which thresholds its noise allows, its history.

Nothing here is asked of a running stack: a file is read, ``model.yaml`` and ``recipe.py`` are written, and the rows are
laid where the declared sources look for them.
"""

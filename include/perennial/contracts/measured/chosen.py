"""What a fit chose by cross-validation, and what it chose from."""

from dataclasses import dataclass

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The recipe that made a candidate, with its parameters, and the cross-validation of every recipe that was fitted.

    ``recipe`` is the name of its file, ``metric`` the one that chose. ``tried`` holds the figures of each recipe by its
    file, ``cv_<metric>_mean`` and the like; ``n_tried`` counts the sets of parameters that a search went through for
    it, 0 where nothing was searched. ``threshold`` is from which score on a binary version predicts the positive class;
    None where it was told none, and ``label.decision_threshold`` holds.
    """

    recipe: str
    params: dict[str, Value]
    metric: str
    tried: dict[str, dict[str, float]]
    n_tried: dict[str, int]
    threshold: float | None = None

    def __str__(self) -> str:
        """What was chosen, and from what, in a line.

        >>> cv = {"cv_f1_mean": 0.5, "cv_f1_std": 0.1}
        >>> print(Chosen(recipe="a.py", params={"c": 1}, metric="f1", tried={"a.py": cv}, n_tried={"a.py": 9}))
        a.py (c=1), f1 in cross-validation 0.5 of 9 sets
        """
        parts = []
        for name, cv in sorted(self.tried.items(), key=lambda item: item[0] != self.recipe):
            value = cv.get(f"cv_{self.metric}_mean")
            figure = "unknown" if value is None else f"{value:.4g}"
            n_tried = f" of {self.n_tried[name]} sets" if self.n_tried.get(name) else ""
            parts.append(f"{figure}{n_tried}" if name == self.recipe else f"{name} {figure}{n_tried}")
        params = ", ".join(f"{name}={value}" for name, value in self.params.items())
        positive = "" if self.threshold is None else f"; positive from {self.threshold:.4g} on"
        made = f"{self.recipe} ({params})" if params else self.recipe
        return f"{made}, {self.metric} in cross-validation {'; '.join(parts)}{positive}"

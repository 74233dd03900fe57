"""Late or not, from the schedule, the route, the plane and the weather: small, strongly regularised boosted trees."""

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

CATEGORIES = ["carrier", "origin", "dest"]


def build(
    *,
    seed: int,
    max_iter: int = 60,
    learning_rate: float = 0.1,
    max_leaf_nodes: int = 15,
    min_samples_leaf: int = 200,
) -> Pipeline:
    """An unfitted classifier; a category that training has not seen counts as missing."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    boost = HistGradientBoostingClassifier(
        max_iter=max_iter,
        learning_rate=learning_rate,
        max_leaf_nodes=max_leaf_nodes,
        min_samples_leaf=min_samples_leaf,
        l2_regularization=10.0,
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=seed,
    )
    encode = ColumnTransformer([("category", encoder, CATEGORIES)], remainder="passthrough")
    return Pipeline([("encode", encode), ("boost", boost)])

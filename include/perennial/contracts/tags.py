"""The tags and aliases by which MLflow shows what became of a run or a version: every key once, with its meaning.

They lie here and not in the registry, because the review's trigger reads one of them and must not import MLflow. Who
serves is never read from a tag: the ledger knows.
"""

from collections.abc import Mapping

CHAMPION, CHALLENGER, STABLE, CANARY = "champion", "challenger", "stable", "canary"
ALIASES = {
    CHAMPION: "the version that serves; moved by a promotion or a rollback alone",
    CHALLENGER: "the version that passed its gates and is not released",
    CANARY: "the approved version that answers a share of the requests, and is not released yet",
    STABLE: "the version that passed its bake last, or that a rollback went back to",
}

MODEL_TAG = "perennial.model"
CAUSE_TAG = "perennial.cause"
REQUESTED_BY_TAG = "perennial.requested_by"
AS_OF_TAG = "perennial.as_of"
CONFIG_TAG = "perennial.config_digest"
CODE_TAG = "perennial.code_version"
SNAPSHOT_TAG = "perennial.snapshot_id"
REQUEST_TAG = "perennial.request"
MODEL_URI_TAG = "perennial.model_uri"
PROBLEM_TAG = "perennial.problem"
RECIPE_TAG = "perennial.recipe_digest"
LOCK_TAG = "perennial.lock_digest"
AIRFLOW_TAG = "perennial.airflow_run"
BASELINE_TAG = "perennial.baseline"
BASELINE_PROBLEM_TAG = "perennial.baseline_problem"
CHOSEN_TAG = "perennial.chosen_recipe"
TRIED_TAG = "perennial.tried"
TRIED_STATE_TAG = "perennial.tried_state"
RUN_TAGS = {
    MODEL_TAG: "the monitored model",
    CAUSE_TAG: "why the retrain was requested",
    REQUESTED_BY_TAG: "who requested it: `policy`, or a person",
    AS_OF_TAG: "the moment whose knowledge counts, ISO 8601",
    CONFIG_TAG: "digest of `model.yaml` as it was read",
    CODE_TAG: "commit of the code, `-dirty` where it was edited since; `unknown` where nobody can say",
    SNAPSHOT_TAG: "the frozen rows, see table `snapshots`",
    REQUEST_TAG: "run id of the retrain request, as in the ledger",
    MODEL_URI_TAG: "the fitted model, `models:/m-...`; written last, when the fit is complete",
    PROBLEM_TAG: "why the run failed",
    RECIPE_TAG: "SHA-256 of the recipe that was fitted, or one digest of several; copies are among the artifacts",
    CHOSEN_TAG: "the file of the recipe that fitted best; absent where the model has one recipe",
    LOCK_TAG: "SHA-256 of the lock file",
    AIRFLOW_TAG: "the page of the Airflow run that made it; absent where Airflow did not",
    BASELINE_TAG: "what the candidate was compared with: the champion's version, or `constant`",
    BASELINE_PROBLEM_TAG: "why it could not be compared; absent when it could",
}
TRIED_TAGS = {
    TRIED_TAG: "which set of parameters the search tried here, counted from 0; a run below that of the candidate",
    TRIED_STATE_TAG: "`complete`, `pruned` or `failed`",
}

DIGEST_TAG = "version.artifact_digest"
GATES_TAG = "version.gates"
ENTRY_TAG = "version.signoff_entry"
NOTE_TAG = "signoff.note"
RELEASE_TAG = "version.release"
PAST_GATES_TAG = "version.past_gates"
SHARE_TAG = "version.canary_share"
SIGNOFF_TAG = "signoff"
REVIEWER_TAG = "reviewer"
SECOND_TAG = "second_reviewer"
REASON_TAG = "signoff.reason"
PAST_GATES = "past gates"
"""What two people write into the tag ``signoff`` of a version that failed its gates."""
# MLflow's page lists tags by name and shows some five: what a reviewer fills in comes before what Perennial keeps.
VERSION_TAGS = {
    DIGEST_TAG: "SHA-256 over the version's files when it was registered",
    GATES_TAG: "`passed` or `failed`",
    SIGNOFF_TAG: (
        "`pending` until a reviewer writes `approved` or `rejected` here; `not required` where the policy answers, "
        "`failed` when a gate did, until two people write `past gates`"
    ),
    REVIEWER_TAG: "who answered; a reviewer fills it in, and an approval without a name is none",
    SECOND_TAG: "the other one, where `signoff.review.people` is 2, and past failed gates",
    REASON_TAG: "why, in the reviewer's own words; it goes to the ledger",
    ENTRY_TAG: "id of the signoff in the ledger that the answer is about",
    NOTE_TAG: "what the reviewer's word lacks; empty once it lacks nothing",
    RELEASE_TAG: "`promoted` or `rolled back`",
    SHARE_TAG: "which share of the requests it answers while `canary` names it, from 0 to 1",
    PAST_GATES_TAG: "the gates that two people promoted it past, who and why; empty once its bake has passed",
}

BEFORE = {
    DIGEST_TAG: "perennial.artifact_digest",
    GATES_TAG: "perennial.gates",
    ENTRY_TAG: "perennial.signoff_entry",
    NOTE_TAG: "perennial.signoff_note",
    RELEASE_TAG: "perennial.release",
    PAST_GATES_TAG: "perennial.past_gates",
}
"""What tags of a version were called before reviewers found theirs first; versions of that time are still read."""


def named_now(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of a version under the names of today; where both are there, the one of today counts.

    >>> named_now({"perennial.gates": "failed", "signoff": "failed"})
    {'signoff': 'failed', 'version.gates': 'failed'}
    >>> named_now({"perennial.gates": "failed", "version.gates": "passed"})
    {'version.gates': 'passed'}
    """
    kept = {key: value for key, value in tags.items() if key not in BEFORE.values()}
    return kept | {now: tags[old] for now, old in BEFORE.items() if old in tags and now not in tags}


MOST_CHARACTERS = 5000
"""So long may a description be: MLflow's column holds no more in PostgreSQL."""

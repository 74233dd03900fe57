"""What is mended about one model beside its runs: ledger and registry brought to agree, files and service looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from perennial.config.release.declared import MovedAlias
from perennial.errors import ConfigError, PermanentError
from perennial.pipeline.case import Case

if TYPE_CHECKING:
    from perennial.release.agreement import Finding


def repair(case: Case, *, moved_alias: str | None = None) -> tuple[Finding, ...]:
    """Aliases and tags agree with the ledger, every version has its files, and where a setting names the service, its
    champion answers requests; what does not is mended, or told.

    ``moved_alias`` takes the place of ``release.moved_alias``. Raises ConfigError for one that is none, and as
    :func:`perennial.release.reconcile.repair`.
    """
    from perennial.release import reconcile
    from perennial.release.agreement import Finding
    from perennial.release.traffic import disagreement

    if moved_alias is not None:
        if moved_alias not in get_args(MovedAlias):
            raise ConfigError(f"--moved-alias {moved_alias}: {', '.join(get_args(MovedAlias))} are known")
        rules = case.config.release.model_copy(update={"moved_alias": moved_alias})
        case = replace(case, config=case.config.model_copy(update={"release": rules}))
    case.prepare()
    found = reconcile.repair(case.config, store=case.store, registry=case.registry)
    try:
        case.verify_files()
    except PermanentError as error:
        found += (Finding(said=str(error), mended=False),)
    if (url := case.settings.serving_url(case.model)) is not None:
        key = case.settings.serving_key
        served = disagreement(case.config, url, store=case.store, key=key.get_secret_value() if key else None)
        found += (served,) if served is not None else ()
    return found

"""What is claimed of each asset, as Dagster's checks: see `audits.claims`."""

import dagster as dg

from capsim_dagster.audits.claims import CATALOG, DATED, KNOWN

Months = dg.PartitionsDefinition[str]
Days = dg.PartitionsDefinition[str]
Hours = dg.PartitionsDefinition[str]


def specs_of(
    asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str] | None = None
) -> tuple[dg.AssetCheckSpec, ...]:
    """Return the checks of an asset, or of each of its partitions."""
    known = KNOWN[asset.to_user_string()]
    return tuple(
        dg.AssetCheckSpec(name, asset=asset, blocking=name in known.gates, description=said, partitions_def=partitions)
        for name, said in {**known.gates, **known.warnings}.items()
    )


def every_check() -> list[dg.AssetCheckKey]:
    """Return all checks, in the order of the graph."""
    return [
        dg.AssetCheckKey(dg.AssetKey(known.name.split("/")), name)
        for known in (*CATALOG, *DATED)
        for name in {**known.gates, **known.warnings}
    ]

"""`capsim plot`: the picture of one series."""

from pathlib import Path

import click

from capsim_dagster.cli.options import config_option, data_dir_option, read_settings, say
from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import Resource


@click.command()
@click.argument("host", help="Id or number of a host: srv-000007 or 7.")
@config_option
@data_dir_option
@click.option(
    "--resource",
    type=click.Choice([resource.value for resource in Resource]),
    help="Default: the resource that runs full on a CAPACITY_BREACH host, else cpu.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, .svg or .png. Default: <data-dir>/plots/<host>_<resource>.svg.",
)
def plot(host: str, config: Path | None, data_dir: Path | None, resource: str | None, output: Path | None) -> None:
    """Draw one series: what was observed, what was expected, and what happened to it.

    The picture shows daily P95 utilization in percent of capacity over the whole window, the expectation without noise
    and events, each labelled event and gap, the breach threshold and, for a host that runs full, the date. It needs a
    master and its ground truth: capsim run.

    \b
    capsim plot 9                                  the first host that breaches, on its limiting resource
    capsim plot srv-000007 --resource network --output bursts.png
    """  # noqa: D301 click formats this text
    from capsim_dagster.pictures.canvas import picture_format
    from capsim_dagster.pictures.of_disk import series_picture
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.storage import atomic_path

    kind = picture_format(output)
    platform = Platform(read_settings(config, data_dir))
    picture = series_picture(platform, host, Resource(resource) if resource else None, kind)
    path = output or platform.layout.plots / f"{picture.host_id}_{picture.resource}.{kind}"
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture.content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}", remedy="name another --output") from None
    say(f"capsim: wrote {path}\n  {picture.caption}")

"""`capsim plot`: the picture of one series."""

from pathlib import Path

import click

from capsim_dagster.cli.options import config_option, data_dir_option, read_settings, say
from capsim_dagster.errors import SettingsError
from capsim_dagster.schemas import Resource

_FLEET = "fleet"
"""In place of a host."""


@click.command()
@click.argument("host", help="Id or number of a host: srv-000007 or 7; or fleet, for all pictures of it.")
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
    """Draw one series: what was observed, what was expected, and what happened to it; or the fleet.

    The picture shows daily P95 utilization in percent of capacity over the whole window, the expectation without noise
    and events, each labelled event and gap, the breach threshold and, for a host that runs full, the date. It needs a
    master and its ground truth: capsim run.

    \b
    capsim plot 9                                  the first host that breaches, on its limiting resource
    capsim plot srv-000007 --resource network --output bursts.png
    capsim plot fleet                              composition, weekly profile, quarter ends, regions, varieties, feed
    """  # noqa: D301 click formats this text
    from capsim_dagster.pictures.canvas import picture_format
    from capsim_dagster.pictures.of_disk import series_picture
    from capsim_dagster.pipeline.platform import Platform

    if host == _FLEET:
        _plot_fleet(config, data_dir, is_plain=resource is None and output is None)
        return
    kind = picture_format(output)
    platform = Platform(read_settings(config, data_dir))
    picture = series_picture(platform, host, Resource(resource) if resource else None, kind)
    path = output or platform.layout.plots / f"{picture.host_id}_{picture.resource}.{kind}"
    _write(path, picture.content)
    say(f"capsim: wrote {path}\n  {picture.caption}")


def _plot_fleet(config: Path | None, data_dir: Path | None, *, is_plain: bool) -> None:
    """Draw the pictures that the UI shows beside its assets, as many as there is something for."""
    from capsim_dagster.pictures.gallery import OF_ASSETS, drawn_beside, without_size
    from capsim_dagster.pipeline.platform import Platform

    if not is_plain:
        raise SettingsError(
            f"--resource and --output are for one host, not for {_FLEET}",
            remedy="leave them out: the pictures go to <data-dir>/plots",
        )
    platform = Platform(read_settings(config, data_dir))
    for asset in OF_ASSETS:
        for name, image in drawn_beside(platform, asset).items():
            path = platform.layout.plots / f"{asset}_{name}.svg"
            _write(path, without_size(image))
            say(f"capsim: wrote {path}")


def _write(path: Path, content: bytes) -> None:
    from capsim_dagster.storage import atomic_path

    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}", remedy="name another --output") from None

"""How the network traffic of a host splits into inbound and outbound."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from capsim_dagster.seeding import Float64Array, streams

_DECIMALS: Final = 4


def inbound_shares(seed: int, bounds: tuple[float, float], numbers: NDArray[np.int64]) -> Float64Array:
    """Return the inbound part of each host's network traffic, 0 to 1, shape `(n_hosts,)`.

    `bounds`: lowest and highest share of the uniform draw, 0 to 1.
    `numbers`: host numbers, shape `(n_hosts,)`.
    """
    drawn: Float64Array = streams(seed, "panel", "inbound share", hosts=numbers).uniform()
    shares: Float64Array = np.round(bounds[0] + (bounds[1] - bounds[0]) * drawn, _DECIMALS)
    return shares

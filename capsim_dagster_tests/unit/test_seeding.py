"""Named random streams: determinism, random access, independence and distribution.

The seed is fixed, so no test here is flaky. Each statistical bound lies five standard errors out: with a seed drawn
at random a correct generator would miss one with a chance of 6e-7.
"""

import hashlib
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from capsim_dagster.seeding import HostStreams, key, lanes_of, low_discrepancy, streams
from capsim_dagster_tests.support.cases import each_case

SIGMAS = 5
"""Bound of a statistical test [standard errors]."""
GAMMA = 0x9E3779B97F4A7C15
WORD = (1 << 64) - 1
N_HOSTS, N_ELEMENTS = 10, 100_000

repeatable = property_settings(max_examples=25, deadline=None, derandomize=True, database=None)


def reference_mix(state: int) -> int:
    """Stafford's mix 13, in unbounded integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
    return state ^ (state >> 31)


def reference_output(host_key: int, index: int) -> int:
    """The `index`-th output of SplitMix64 started at `host_key`."""
    return reference_mix((host_key + (index + 1) * GAMMA) & WORD)


def reference_level(host_key: int, element: int) -> int:
    """The 16-bit lane that element lies in, lowest lane first."""
    return (reference_output(host_key, element // 4) >> (16 * (element % 4))) & 0xFFFF


def test_reference_gives_the_published_outputs_of_splitmix64() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]

    assert [reference_output(1234567, index) for index in range(4)] == published


@repeatable
@given(host_key=st.integers(0, WORD), first=st.integers(0, 40_000), length=st.integers(0, 30))
def test_levels_agree_with_splitmix64_in_plain_integers(host_key: int, first: int, length: int) -> None:
    levels = HostStreams(np.array([host_key], dtype=np.uint64)).levels(first, first + length)

    assert levels.tolist() == [[reference_level(host_key, t) for t in range(first, first + length)]]


@repeatable
@given(host_keys=st.lists(st.integers(0, WORD), min_size=1, max_size=5), element=st.integers(0, 40_000))
def test_uniform_agrees_with_splitmix64_in_plain_integers(host_keys: list[int], element: int) -> None:
    drawn = HostStreams(np.array(host_keys, dtype=np.uint64)).uniform(element)

    assert drawn.tolist() == [(reference_output(host_key, element) >> 11) / 2**53 for host_key in host_keys]


@repeatable
@given(host_key=st.integers(0, WORD), first=st.integers(0, 40_000), length=st.integers(0, 30))
def test_words_agree_with_splitmix64_in_plain_integers(host_key: int, first: int, length: int) -> None:
    words = HostStreams(np.array([host_key], dtype=np.uint64)).words(first, first + length)

    assert words.tolist() == [[reference_output(host_key, t) for t in range(first, first + length)]]


@repeatable
@given(pairs=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 40_000)), max_size=12))
def test_words_at_pairs_of_host_and_element_are_those_of_the_whole_stream(pairs: list[tuple[int, int]]) -> None:
    stream = streams(7, "a", hosts=np.arange(1, 201))
    rows, elements = np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    expected = [int(stream.words(element, element + 1)[row, 0]) for row, element in pairs]
    assert stream.words_at(rows, elements).tolist() == expected


@repeatable
@given(words=st.lists(st.integers(0, WORD), max_size=6))
def test_lanes_are_the_four_16_bit_parts_of_a_word_lowest_first(words: list[int]) -> None:
    lanes = lanes_of(np.array(words, dtype=np.uint64))

    assert [lane.tolist() for lane in lanes] == [
        [((word >> 16 * index & 0xFFFF) + 0.5) / 65_536 for word in words] for index in range(4)
    ]


@pytest.mark.parametrize(("word", "value"), [(0, 0.5 / 65_536), (WORD, 1 - 0.5 / 65_536)])
def test_lanes_lie_strictly_between_0_and_1(word: int, value: float) -> None:
    assert [lane.tolist() for lane in lanes_of(np.array([word], dtype=np.uint64))] == [[value]] * 4


def test_lanes_of_one_word_are_uncorrelated() -> None:
    lanes = lanes_of(streams(1, "lanes", hosts=np.array([1])).words(0, N_ELEMENTS)[0])
    found = np.corrcoef(np.stack(lanes)) - np.eye(4)

    assert np.abs(found).max() < SIGMAS / math.sqrt(N_ELEMENTS)


def test_stream_keys_are_blake2b_of_seed_and_name_mixed_with_the_host_number() -> None:
    name_key = int.from_bytes(hashlib.blake2b(b"42\x1ftelemetry\x1fcpu", digest_size=8).digest(), "little")
    expected = [reference_mix(reference_mix((host * GAMMA) & WORD) ^ name_key) for host in (1, 2, 1_000_000)]

    assert streams(42, "telemetry", "cpu", hosts=np.array([1, 2, 1_000_000])).keys.tolist() == expected


@repeatable
@given(hosts=st.sets(st.integers(1, 200), min_size=1, max_size=6), first=st.integers(0, 390), length=st.integers(1, 40))
def test_any_piece_of_a_stream_equals_the_same_piece_of_the_whole(hosts: set[int], first: int, length: int) -> None:
    some = np.array(sorted(hosts, reverse=True))
    whole = streams(7, "a", hosts=np.arange(1, 201))
    alone = streams(7, "a", hosts=some)

    np.testing.assert_array_equal(
        alone.normals(first, first + length), whole.normals(0, 430)[some - 1, first:][:, :length]
    )
    np.testing.assert_array_equal(
        alone.levels(first, first + length), whole.levels(0, 430)[some - 1, first:][:, :length]
    )
    np.testing.assert_array_equal(alone.uniform(), whole.uniform()[some - 1])


def test_adding_hosts_changes_nobody() -> None:
    few, many = (streams(42, "a", hosts=np.arange(1, n + 1)) for n in (2_000, 2_500))

    np.testing.assert_array_equal(few.keys, many.keys[:2_000])
    np.testing.assert_array_equal(few.normals(0, 9), many.normals(0, 9)[:2_000])


@each_case(
    ("left", "right"),
    [
        ((1, "ab", "c"), (1, "a", "bc")),
        ((1, "ab", "c"), (1, "abc")),
        ((1, "a"), (1, "a", "")),
        ((1, "a", "b"), (1, "b", "a")),
        ((1, "1", "a"), (11, "a")),
        ((1, "a"), (2, "a")),
    ],
)
def test_different_seeds_or_names_give_different_keys(left: tuple[int, str], right: tuple[int, str]) -> None:
    assert key(*left) != key(*right)


def test_hosts_of_a_large_fleet_have_keys_of_their_own() -> None:
    keys = streams(42, "a", hosts=np.arange(1, 200_001)).keys

    assert len(np.unique(keys)) == 200_000


def test_levels_have_the_mean_and_spread_of_the_uniform_distribution() -> None:
    drawn = (streams(1, "uniform", hosts=np.arange(1, N_HOSTS + 1)).levels(0, N_ELEMENTS) + 0.5) / 2**16

    assert abs(drawn.mean() - 0.5) < SIGMAS * math.sqrt(1 / 12 / drawn.size)
    assert abs(drawn.var() - 1 / 12) < SIGMAS * math.sqrt(1 / 180 / drawn.size)


def test_every_tenth_holds_a_tenth_of_the_single_uniforms() -> None:
    drawn = streams(1, "tenths", hosts=np.arange(1, 100_001)).uniform()
    counts = np.histogram(drawn, bins=10, range=(0, 1))[0]

    assert np.abs(counts - 10_000).max() < SIGMAS * math.sqrt(100_000 * 0.1 * 0.9)


def test_normals_have_the_mean_and_spread_of_the_normal_distribution() -> None:
    drawn = streams(1, "normal", hosts=np.arange(1, N_HOSTS + 1)).normals(0, N_ELEMENTS).astype(np.float64)

    assert abs(drawn.mean()) < SIGMAS / math.sqrt(drawn.size)
    assert abs(drawn.var() - 1) < SIGMAS * math.sqrt(2 / drawn.size)
    assert abs((drawn**3).mean()) < SIGMAS * math.sqrt(15 / drawn.size)


def test_normals_follow_the_normal_distribution_function() -> None:
    stream = streams(1, "cdf", hosts=np.array([1]))
    levels = stream.levels(0, 3_000)[0].tolist()
    normals = stream.normals(0, 3_000)[0].tolist()

    found = [NormalDist().cdf(number) for number in normals]
    assert found == pytest.approx([(level + 0.5) / 65_536 for level in levels], abs=1e-7)


def test_normals_agree_with_the_quantile_function_at_both_ends() -> None:
    drawn = streams(1, "ends", hosts=np.arange(1, N_HOSTS + 1)).normals(0, N_ELEMENTS)
    furthest = NormalDist().inv_cdf(0.5 / 65_536)

    assert (float(drawn.min()), float(drawn.max())) == pytest.approx((furthest, -furthest), abs=1e-6)


@each_case("lag", [1, 2, 3, 4, 7])
def test_elements_of_a_stream_are_uncorrelated(lag: int) -> None:
    drawn = streams(1, "lags", hosts=np.array([1])).normals(0, N_ELEMENTS)[0].astype(np.float64)

    assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < SIGMAS / math.sqrt(drawn.size - lag)


@pytest.mark.parametrize(
    ("left", "right"),
    [(("cpu", 1), ("cpu", 2)), (("cpu", 1), ("memory", 1)), (("cpu", 1), ("cpu", 65_537))],
)
def test_streams_of_other_names_or_hosts_are_uncorrelated(left: tuple[str, int], right: tuple[str, int]) -> None:
    one, other = (streams(1, name, hosts=np.array([h])).normals(0, N_ELEMENTS)[0] for name, h in (left, right))

    assert abs(np.corrcoef(one, other)[0, 1]) < SIGMAS / math.sqrt(N_ELEMENTS)


def test_neighbouring_hosts_draw_uncorrelated_single_numbers() -> None:
    drawn = streams(1, "inventory", hosts=np.arange(1, N_ELEMENTS + 1)).uniform()

    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < SIGMAS / math.sqrt(N_ELEMENTS - 1)


@repeatable
@given(
    n=st.integers(1, 50_000),
    bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
)
def test_low_discrepancy_keeps_every_share_of_every_prefix_within_log_n(n: int, bounds: list[float]) -> None:
    drawn = low_discrepancy(np.arange(1, n + 1))
    found = int(((drawn >= bounds[0]) & (drawn < bounds[1])).sum())

    assert abs(found - n * (bounds[1] - bounds[0])) <= 2 + math.log(n)


def test_low_discrepancy_is_the_golden_ratio_sequence() -> None:
    golden = (math.sqrt(5) - 1) / 2

    expected = [number * golden % 1 for number in range(1, 1_001)]
    assert low_discrepancy(np.arange(1, 1_001)).tolist() == pytest.approx(expected, abs=1e-9)

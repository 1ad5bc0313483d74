"""Messages of the exceptions: what was found, then what to do."""

from capsim_dagster import errors
from capsim_dagster.errors import CapsimError, GateError, listed
from capsim_dagster_tests.support.cases import each_case


@each_case(
    ("examples", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c", "d", "e"], "a, b, c, d, e"),
        (["a", "b", "c", "d", "e", "f"], "a, b, c, d, e and 1 more"),
        (range(100), "0, 1, 2, 3, 4 and 95 more"),
    ],
)
def test_listed_shows_five_examples_and_counts_the_rest(examples: list[object], expected: str) -> None:
    assert listed(examples) == expected


def test_listed_reads_an_iterator_once() -> None:
    assert listed(str(number) for number in range(6)) == "0, 1, 2, 3, 4 and 1 more"


def test_message_is_what_was_found_then_the_remedy() -> None:
    error = GateError("3 rows are missing", remedy="run it again")

    assert str(error) == "3 rows are missing\n  -> run it again"
    assert (error.found, error.remedy) == ("3 rows are missing", "run it again")


def test_every_exception_is_drawn_in_the_tree_and_is_a_capsim_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    tree = errors.__doc__ or ""

    assert len(kinds) > 1
    assert all(issubclass(kind, CapsimError) for kind in kinds)
    assert [kind.__name__ for kind in kinds if kind.__name__ not in tree] == []

"""Tables of cases that one test goes through: each is told by its values, and none hides those after it."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

Body = Callable[..., None]


def each_case(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Body], Body]:
    """Return a decorator that calls a test once a case, as `parametrize` does, and fails after the last.

    It is for tests of pure functions: what a test changes, the next case finds changed.

    Args:
        names: Of the arguments that the case gives, separated by commas.
        cases: A value for one name, or a sequence of as many values as there are names.
    """
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    table = [dict(zip(given, case if len(given) > 1 else (case,), strict=True)) for case in cases]

    def decorate(test: Body) -> Body:
        @wraps(test)
        def run(**fixtures: object) -> None:
            failed: list[Exception] = []
            for case in table:
                try:
                    test(**fixtures, **case)
                except Exception as error:  # noqa: BLE001 each is raised below
                    error.add_note(f"in the case {case}")
                    failed.append(error)
            if failed:
                raise ExceptionGroup(f"{len(failed)} of {len(table)} cases", failed)

        signature = inspect.signature(test)
        rest = [parameter for name, parameter in signature.parameters.items() if name not in given]
        run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
        return run

    return decorate

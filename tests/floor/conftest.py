"""The fixture that hands out playbooks and closes each of them, so that no command of a call stays unnamed."""

from collections.abc import Callable, Iterator

import pytest

from tests.floor.playbook import Playbook


@pytest.fixture
def play() -> Iterator[Callable[..., Playbook]]:
    books: list[Playbook] = []

    def open_book(*args: object, **kwargs: object) -> Playbook:
        books.append(Playbook(*args, **kwargs))  # type: ignore[arg-type]
        return books[-1]

    yield open_book
    for book in books:
        book.close()

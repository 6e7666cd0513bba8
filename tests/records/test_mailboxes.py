"""Who may listen to a box by phone: who knows its PIN, and nobody who tries them all."""

from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from engine.records.database import TABLES, Database
from engine.records.mailboxes import LOCKED, LOCKED_AT_MOST, WRONG_PINS, BadPin, Mailboxes, PinCheck

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOX = "agent:amy"


@pytest.fixture
def boxes(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/a.db")
    yield Mailboxes(database)
    database.close()


@pytest.fixture
def box(boxes):
    boxes.set_pin(BOX, "2580")
    return boxes


def test_the_pin_opens_its_box_and_no_other(box):
    box.set_pin("agent:bob", "1397")
    assert box.check_pin(BOX, "2580", NOW) is PinCheck.RIGHT
    assert box.check_pin(BOX, "1397", NOW) is PinCheck.WRONG
    assert box.check_pin("agent:bob", "1397", NOW) is PinCheck.RIGHT
    assert box.check_pin("agent:carol", "2580", NOW) is PinCheck.NONE


def test_a_changed_and_a_removed_pin(box):
    box.set_pin(BOX, "0852")
    assert box.check_pin(BOX, "2580", NOW) is PinCheck.WRONG and box.check_pin(BOX, "0852", NOW) is PinCheck.RIGHT
    assert box.remove_pin(BOX) and not box.remove_pin(BOX)
    assert box.check_pin(BOX, "0852", NOW) is PinCheck.NONE


def test_five_wrong_pins_lock_the_box_for_the_right_one_too(box):
    for _ in range(WRONG_PINS):
        assert box.check_pin(BOX, "9999", NOW) is PinCheck.WRONG
    for at in (NOW, NOW + LOCKED - timedelta(seconds=1)):
        assert box.check_pin(BOX, "2580", at) is PinCheck.LOCKED
    assert box.check_pin(BOX, "2580", NOW + LOCKED) is PinCheck.RIGHT


def test_four_wrong_pins_and_the_right_one_begin_anew(box):
    for _ in range(3):
        for _ in range(WRONG_PINS - 1):
            assert box.check_pin(BOX, "9999", NOW) is PinCheck.WRONG
        assert box.check_pin(BOX, "2580", NOW) is PinCheck.RIGHT


def test_each_wrong_pin_after_a_lock_doubles_the_next_one(box):
    at, locks = NOW, []
    for _ in range(WRONG_PINS - 1):
        box.check_pin(BOX, "9999", at)
    for _ in range(9):
        assert box.check_pin(BOX, "9999", at) is PinCheck.WRONG
        ends = box._database.rows(TABLES["mailbox_pins"].select())[0]["locked_until"]
        assert box.check_pin(BOX, "2580", ends - timedelta(microseconds=1)) is PinCheck.LOCKED
        locks.append(ends - at)
        at = ends
    assert locks[:4] == [LOCKED, LOCKED * 2, LOCKED * 4, LOCKED * 8] and locks[-1] == LOCKED_AT_MOST


def test_a_new_pin_unlocks(box):
    for _ in range(WRONG_PINS):
        box.check_pin(BOX, "9999", NOW)
    box.set_pin(BOX, "2580")
    assert box.check_pin(BOX, "2580", NOW) is PinCheck.RIGHT


def test_many_tries_at_once_are_not_more_than_one_after_the_other(box):
    """Each thread has tries of its own, as many phones have; the count is theirs together."""
    found: list[PinCheck] = []
    threads = [Thread(target=lambda: found.append(box.check_pin(BOX, "9999", NOW))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count(PinCheck.WRONG) == WRONG_PINS and found.count(PinCheck.LOCKED) == 20 - WRONG_PINS


@pytest.mark.parametrize("pin", ["", "123", "1234", "4321", "0000", "7890", "12a4", "1" * 13, "１３９７", "2 58"])
def test_pins_that_will_not_do(boxes, pin):
    with pytest.raises(BadPin, match="a PIN"):
        boxes.set_pin(BOX, pin)


def test_a_pin_is_not_in_the_database(box):
    box.set_pin("agent:bob", "2580")
    one, other = (row["hash"] for row in box._database.rows(TABLES["mailbox_pins"].select()))
    assert "2580" not in one and one != other

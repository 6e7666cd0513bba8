"""Customers by command and from files: what is good is loaded, what is bad is told, twice changes nothing."""

import csv
import json
from pathlib import Path

import openpyxl
import pytest

from cli.sheets import LINES_A_BATCH

HEADER = ["电话", "姓名", "级别", "地区", "工号", "备注"]
LINES = [
    ["13800138000", "王小明", "VIP", "浙江", "1001", "喜欢,项链"],
    ["0571-88888888", "李四", "", "浙江", "", ""],
    ["+1 800 555 1234", "Ann", "ordinary", "", "1002", "two\nlines"],
]


def write_csv(path, lines, header=HEADER, encoding="utf-8", **form):
    with Path(path).open("w", encoding=encoding, newline="") as file:
        csv.writer(file, **form).writerows([header, *lines])
    return path


def write_xlsx(path, lines, header=HEADER):
    book = openpyxl.Workbook()
    for line in (header, *lines):
        book.active.append(line)
    book.save(path)
    return path


def customers(agner, *words):
    shown = agner("customers", *words, "--json")
    assert shown.exit_code == 0, shown.output
    return json.loads(shown.stdout)["customers"]


def imported(agner, path, *words, exit_code=0):
    done = agner("customers", "import", path, "--json", *words)
    assert done.exit_code == exit_code, done.output
    found = json.loads(done.stdout)
    return found["new"], found["updated"], found["unchanged"], found["bad"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_in_every_form(agner, encoding, delimiter):
    path = write_csv("a.csv", LINES, encoding=encoding, delimiter=delimiter)
    assert imported(agner, path) == (3, 0, 0, 0)
    first, _, last = sorted(customers(agner), key=lambda row: row["name"], reverse=True)
    assert (first["number"], first["name"], first["level"], first["region"], first["last_order_agent"]) == (
        "+8613800138000", "王小明", "vip", "浙江", "1001"
    ) and first["notes"] == "喜欢,项链"  # fmt: skip
    assert (last["number"], last["notes"]) == ("+18005551234", "two\nlines")
    assert imported(agner, path) == (0, 0, 3, 0)


def test_xlsx_with_numbers_as_numbers(agner):
    path = write_xlsx("a.xlsx", [[13800138000, "王小明", None, None, 1001], [None] * 5, [1.3900139e10, "李四"]])
    assert imported(agner, path) == (2, 0, 0, 0)
    rows = customers(agner)
    assert [(row["number"], row["last_order_agent"]) for row in rows] == [
        ("+8613800138000", "1001"), ("+8613900139000", None)
    ]  # fmt: skip
    assert imported(agner, path) == (0, 0, 2, 0)


def test_english_headers_in_any_order_and_only_what_is_there_changes(agner):
    imported(agner, write_csv("a.csv", LINES))
    path = write_csv("b.csv", [["gold", "x", "13800138000"]], header=["Level", "shoe size", "Phone"])
    told = agner("customers", "import", path)
    assert told.stdout == "0 new, 1 updated, 0 unchanged, 0 bad\n" and "left out: shoe size" in told.stderr
    row = json.loads(agner("customers", "show", "13800138000", "--json").stdout)
    assert (row["level"], row["name"], row["last_order_agent"]) == ("gold", "王小明", "1001")


BAD = [
    (["", "x"], "电话", "no number"),
    (["abc", "x"], "电话", "'abc' is not a telephone number"),
    (["12", "x"], "电话", "'12' is not a telephone number"),
    (["1.38E+10", "x"], "电话", "lost its last digits"),
    (["013800138000", "x"], "电话", "an earlier line has the same number"),
    (["13700000000", "x" * 300], "姓名", "longer than 255"),
    (["13700000000", *("x" * 6), "more"], "", "it has 8 cells, the header 6"),
]


def test_bad_lines_are_told_and_good_ones_loaded(agner):
    path = write_csv("a.csv", [LINES[0], *(line for line, *_ in BAD), LINES[2]])
    done = agner("customers", "import", path, "--report", "bad.csv", "--json")
    assert done.exit_code == 1
    outcome = json.loads(done.stdout)
    assert (outcome["new"], outcome["bad"]) == (2, len(BAD))
    told = [(bad["line"], bad["column"], bad["why"]) for bad in outcome["bad_lines"]]
    for n, ((line, column, why), (_, expected, reason)) in enumerate(zip(told, BAD, strict=True)):
        assert (line, column) == (n + 3, expected) and reason in why
    with Path("bad.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1:] == [[str(line), column, why] for line, column, why in told]
    people = agner("customers", "import", path)
    assert people.exit_code == 1 and "a.csv:4: 电话: 'abc' is not" in people.stderr
    assert people.stdout == f"0 new, 0 updated, 2 unchanged, {len(BAD)} bad\n"


def test_a_dry_run_changes_nothing(agner):
    path = write_csv("a.csv", LINES)
    assert agner("customers", "import", path, "--dry-run").stdout.startswith("3 would be new")
    assert customers(agner) == []


def test_many_batches(agner):
    n = 2 * LINES_A_BATCH + 7
    path = write_csv("a.csv", [[f"1{n:010}", f"n{n}"] for n in range(n)])
    assert imported(agner, path) == (n, 0, 0, 0) and imported(agner, path) == (0, 0, n, 0)
    total = json.loads(agner("customers", "search", f"n{n - 1}", "--json").stdout)
    assert total["total"] == 1 and total["customers"][0]["number"] == f"+861{n - 1:010}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"name,level\nx,y\n", "no column for the number"),
        ("电话,手机\n1,2\n".encode(), "two columns are the number"),
        (b"\xff\xff\xff\xff", "neither UTF-8 nor GB18030"),
    ],
)
def test_files_that_are_no_list(agner, content, told):
    Path("a.csv").write_bytes(content)
    refused = agner("customers", "import", "a.csv")
    assert refused.exit_code == 1 and told in refused.stderr


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_workbooks_that_are_none(agner, content):
    Path("a.xlsx").write_bytes(content)
    refused = agner("customers", "import", "a.xlsx")
    assert refused.exit_code == 1 and "not an XLSX workbook" in refused.stderr


def test_a_cell_beyond_all_measure_is_one_bad_line(agner):
    path = write_csv("a.csv", [["13700000000", "x" * 200_000], LINES[0]])
    assert imported(agner, path, exit_code=1) == (1, 0, 0, 1)


def test_one_customer_at_a_time(agner):
    assert agner("customers", "add", "138-0013-8000", "--name", "王", "--level", "VIP").stdout.endswith(": added\n")
    again = agner("customers", "add", "013800138000")
    assert again.exit_code == 1 and "already" in again.stderr
    assert agner("customers", "set", "13800138000", "--region", "浙江", "--agent", "1001").exit_code == 0
    shown = agner("customers", "show", "+8613800138000").stdout
    assert "王" in shown and "vip" in shown and "浙江" in shown and "1001" in shown
    assert agner("customers", "set", "13900139000", "--region", "x").exit_code == 1
    assert agner("customers", "add", "abc").exit_code == 1
    assert [row["number"] for row in customers(agner, "search", "王")] == ["+8613800138000"]
    assert customers(agner, "search", "--level", "gold") == []
    gone = agner("customers", "remove", "13800138000", "13900139000")
    assert gone.exit_code == 1 and gone.stdout == "1 removed\n" and "13900139000" in gone.stderr


def test_orders_name_the_agent(agner):
    add = ("customers", "orders", "add", "13800138000")
    assert agner(*add, "--id", "o1", "--agent", "1001", "--amount", "199.50", "--at", "2026-11-20").exit_code == 0
    agner(*add, "--id", "o0", "--agent", "1009", "--at", "2026-11-01")
    again = agner(*add, "--id", "o1", "--agent", "1005")
    assert again.exit_code == 0 and "already" in again.stdout
    row = json.loads(agner("customers", "show", "13800138000", "--json").stdout)
    assert row["last_order_agent"] == "1001"
    assert [(order["id"], order["amount_cents"]) for order in row["orders"]] == [("o1", 19950), ("o0", 0)]
    assert "199.50" in agner("customers", "show", "13800138000").stdout
    for amount in ("1.999", "x", "NaN", "1e30"):
        assert agner(*add, "--agent", "1", "--amount", amount).exit_code == 2


def test_a_database_of_another_kind_is_told(agner):
    Path("var/agner.db").write_text("not a database" * 100)
    refused = agner("customers")
    assert refused.exit_code == 1 and "not a database" in refused.stderr

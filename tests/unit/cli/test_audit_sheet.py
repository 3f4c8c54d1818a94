import csv
import io

from holdfast.cli.audit import _sheet
from holdfast.phases.audit_now import Row


def test_sheet_of_findings_holds_no_cell_that_a_spreadsheet_would_run():
    row = Row(
        uid="a" * 64, source="=cmd()", kind="label_error", score=0.1, given="+1", suggested=None
    )
    (_, cells) = csv.reader(io.StringIO(_sheet([row])))
    assert cells == ["a" * 64, "'=cmd()", "label_error", "0.1", "'+1", ""]

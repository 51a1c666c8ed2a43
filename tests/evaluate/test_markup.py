import csv

from phalanx.evaluate.markup import as_csv, as_latex, as_markdown, cells


def test_tables():
    rows = [["method", "a_b (%)"], ["x|y", "1"], ["~", "-2"]]
    assert as_markdown(rows) == "| method | a_b (%) |\n| --- | ---: |\n| x\\|y | 1 |\n| ~ | -2 |\n"
    assert list(csv.reader(as_csv(rows).splitlines())) == rows
    assert as_latex(rows).splitlines() == [
        r"\begin{tabular}{lr}", r"\toprule", r"method & a\_b (\%) \\", r"\midrule", r"x|y & 1 \\",
        r"\textasciitilde{} & -2 \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip


def test_cells_have_their_decimals_and_are_empty_without_a_figure():
    columns = (("mean (mm)", "mean_mm", 2), ("missed", "missed", 0), ("AUC", "auc", 3))
    assert cells({"mean_mm": 1.005, "missed": 3, "auc": None}, columns) == ["1.00", "3", ""]
    assert cells({}, columns) == ["", "", ""]

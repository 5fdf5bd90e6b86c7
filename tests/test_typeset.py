"""Signs and breaks in what a chapter prints, and where they must not be touched."""

import nbformat
import pytest

from galbook.press.typeset import set_cell, typeset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0.01 dB", "−0.01 dB"),
        ("(-1.4 to -0.2)", "(−1.4 to −0.2)"),
        ("-0.00, -0, -0.05", "0.00, 0, −0.05"),
        ("[-0.00, +0.3]", "[0.00,\xa0+0.3]"),
        ("p < 0.001, p 0.5, p = 1, N = 4", "p\xa0<\xa00.001, p\xa00.5, p\xa0=\xa01, N\xa0=\xa04"),
        ("95 % of 6.4e-15, 5.4%", "95\xa0% of 6.4\xa0×\xa010⁻¹⁵, 5.4\xa0%"),
        (".7 to -.3", "0.7 to −0.3"),
        ("commit 1e2a45b7, 12e-3 v1.2.3, x.5", None),
        (r"2026\-11\-29, A0\-0, A1\-10, 0\.5, \.5 \-", None),
        (r"\-0.1 and \-0", "−0.1 and 0"),
        ("z'_B and D_A", "$z'_B$ and $D_A$"),
        ("[code](#code-03-4), components 2-5, laptop-8, 10.1/a-1", None),
        ("`git -1` and $z_{-1}, z'_B$ and ```{math}\nx = -1\n```", None),
        ("| --- | --- |\n- 1 point", None),
        ('<path d="M0 -1L.5 3" width="50%"/><b>x</b>', None),
    ],
)
def test_only_numbers_in_words_are_set(text, expected):
    assert typeset(text) == (expected or text)
    assert typeset(typeset(text)) == typeset(text)


def test_words_captions_and_printed_tables_are_set_and_code_is_not():
    said = nbformat.v4.new_markdown_cell("gap -0.1")
    drawn = nbformat.v4.new_code_cell("x = -1", metadata={"mystnb": {"figure": {"caption": "at -1 dB"}}})
    data = {"text/markdown": "a -1", "application/papermill.record/text/markdown": "b -2", "text/plain": "-3"}
    data |= {"application/papermill.record/text/plain": r"'at N = 4\xa0000 -0.00'"}
    drawn.outputs = [nbformat.v4.new_output("display_data", data=dict(data))]
    for cell in (said, drawn):
        set_cell(cell)
    assert said.source == "gap −0.1" and drawn.source == "x = -1"
    assert drawn.metadata.mystnb.figure.caption == "at −1 dB"
    assert list(drawn.outputs[0].data.values()) == ["a −1", "b −2", "-3", "'at N\xa0=\xa04\\xa0000 0.00'"]

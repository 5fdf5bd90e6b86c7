import numpy as np
import pytest
from astropy.table import Table

from galgen.data.acquire.survey import Position, read_positions
from galgen.runs.errors import GalgenError

IDS = ["1237648720693755918", "0042", "J1234+56.7_b"]


def write(tmp_path, text):
    path = tmp_path / "catalogue.csv"
    path.write_text(text)
    return path


def test_a_csv_as_the_sdss_archive_writes_it_keeps_every_digit_of_its_ids(tmp_path):
    path = write(tmp_path, f"#Table1\nid,RA,Dec,redshift\n{IDS[0]},0.1234567,-5,0.1\n{IDS[1]},360,90,\n")
    positions = read_positions(path)
    assert [position.id for position in positions] == IDS[:2]
    assert [position.place for position in positions] == [
        ("0.123457", "-5.000000"),
        ("360.000000", "90.000000"),
    ]


@pytest.mark.parametrize(("suffix", "format_"), [("ecsv", "ascii.ecsv"), ("fits", "fits")])
@pytest.mark.parametrize("ids", [IDS, [1237648720693755918, 7, 8]], ids=["text", "integers"])
def test_ecsv_and_fits_tables_are_read_alike(tmp_path, suffix, format_, ids):
    path = tmp_path / f"catalogue.{suffix}"
    Table({"id": ids, "ra": [1.0, 2.0, 3.0], "dec": [4, 5, 6]}).write(path, format=format_)
    assert read_positions(path) == [
        Position(id=str(id_), ra=ra, dec=ra + 3) for id_, ra in zip(ids, [1, 2, 3], strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("objid,ra,dec\n1,2,3\n", r"no column 'id'; its columns are objid, ra, dec"),
        ("id,x,y\n1,2,3\n", r"no column 'ra' and no column 'dec'"),
        ("id,ra,dec\n1,2,3\n2,2,3\n1,4,5\n", r"1 ids are there more than once, for example '1'"),
        ("id,ra,dec\n1,2,3\n2,,3\n", r"1\.ra: .*number.*found None"),
        ("id,ra,dec\n1,2,3\n,4,3\n", r"1\.id: .*string.*found None"),
        ("id,ra,dec\n1,2,3\n7,02h,3\n", r"1\.ra: .*number.*found '02h'"),
        ("id,ra,dec\n1,2,3\n7,361,3\n", r"1\.ra: .*less than or equal to 360.*'361'"),
        ("id,ra,dec\n7,1,-90.1\n", r"0\.dec: .*greater than or equal to -90.*-90.1"),
        ("id,ra,dec\n7,nan,3\n", r"0\.ra: .*finite.*nan"),
        ("id,ra,dec\n../7,1,2\n", r"0\.id: .*'\.\./7'"),
        ("id,ra,dec\n.tmp-7,1,2\n", r"0\.id: .*'.tmp-7'"),
        ("id,ra,dec\n", r"has no rows"),
        ("id,ra,dec\n1,2\n", r"0\.dec: .*None"),
        ("id,ra,dec\n1,2,3,4\n", r"cannot be read as a table"),
        ("", r"cannot be read as a table"),
    ],
)
def test_a_bad_catalogue_is_explained_by_name(tmp_path, text, message):
    with pytest.raises(GalgenError, match=rf"(?s)catalogue\.csv:?,? .*{message}"):
        read_positions(write(tmp_path, text))


def test_ids_that_lost_their_digits_as_floats_are_refused(tmp_path):
    path = tmp_path / "catalogue.fits"
    Table({"id": np.array([1237648720693755918.0]), "ra": [1.0], "dec": [2.0]}).write(path)
    with pytest.raises(GalgenError, match="lose digits"):
        read_positions(path)


@pytest.mark.parametrize("name", ["missing.csv", "missing.fits", "catalogue.txt"])
def test_a_file_that_is_no_table_is_named(tmp_path, name):
    with pytest.raises(GalgenError, match=name.replace(".", r"\.")):
        read_positions(tmp_path / name)


def test_a_fits_table_that_is_none_is_named(tmp_path):
    path = tmp_path / "catalogue.fits"
    path.write_bytes(b"<html>" * 1000)
    with pytest.raises(GalgenError, match=r"catalogue\.fits cannot be read"):
        read_positions(path)

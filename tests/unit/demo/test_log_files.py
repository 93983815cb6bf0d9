"""Log files of `make run` are bounded, while their writers go on."""

from streams.demo.supervisor import rotate


def test_a_large_file_moves_aside_and_its_writer_goes_on(tmp_path):
    file = tmp_path / "worker.log"
    with file.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        assert not rotate(file, 100)
        writer.write(b"x")
        assert rotate(file, 100)
        writer.write(b"next\n")
    assert file.read_bytes() == b"next\n"
    assert (tmp_path / "worker.log.1").read_bytes() == b"x" * 101


def test_a_file_that_is_not_there_is_left_alone(tmp_path):
    assert not rotate(tmp_path / "none.log")

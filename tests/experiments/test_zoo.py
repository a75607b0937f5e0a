from library.weights import catalogue


def test_all_networks_are_listed(program):
    ended = program("zoo", "list")
    assert ended.code == 0, ended.err
    first = [line.split()[0] for line in ended.out.splitlines()]
    assert first == ["name", *sorted(catalogue.CATALOGUE)]
    (row,) = [line for line in ended.out.splitlines() if line.startswith("resnet50 ")]
    assert row.split()[1:6] == ["25.56", "8.18", "224", "76.13", "92.86"]


def test_a_summary_adds_up(program):
    ended = program("zoo", "summary", "squeezenet1_1", "--size=64")
    assert ended.code == 0, ended.err
    *rows, total = [line.split() for line in ended.out.splitlines()[1:]]
    assert sum(int(row[-2].replace(",", "")) for row in rows) == 1_235_496
    assert total[0] == "all"
    assert total[-2] == "1,235,496"


def test_what_is_not_understood_ends_with_two(program):
    for words, message in (
        ((), "unknown command ''"),
        (("lists",), "did you mean 'list'"),
        (("summary", "resnet5"), "did you mean 'resnet50'"),
        (("summary", "resnet50", "resnet18"), "summary takes one name, got resnet50 resnet18"),
        (("import", "resnet50", "--workdir=somewhere"), "--weights=FILE says which weights"),
        (("export",), "--workdir"),
        (("check", "resnet5"), "did you mean 'resnet50'"),
        (("check", "alexnet_2012"), "no library has 'alexnet_2012'"),
    ):
        ended = program("zoo", *words)
        assert ended.code == 2, words
        assert message in ended.err, (words, ended.err)

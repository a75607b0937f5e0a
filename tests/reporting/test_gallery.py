from library.reporting import gallery

MADE = {"name": "vae", "system": "VAE", "dataset": "mnist", "config": "configs/vae/mnist.py"}


def write(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def test_the_newest_of_each_is_kept_and_averages_stand_for_both(tmp_path):
    samples = tmp_path / "run" / "samples"
    for name in ("drawn_sample", "drawn_ema_sample", "rebuilt_reconstruct"):
        for step in (9, 10):
            write(samples / name, f"{step:08d}.png", f"{name} {step}".encode())
        write(samples / name, "00000010.npz", b"arrays")
    write(tmp_path / "results" / "figures" / "vae", "old.png", b"of an earlier run")
    kept = gallery.keep(tmp_path / "run", "vae", tmp_path / "results")
    folder = tmp_path / "results" / "figures" / "vae"
    assert kept == [folder / "drawn_ema_sample.png", folder / "rebuilt_reconstruct.png"]
    assert sorted(folder.iterdir()) == kept
    assert kept[0].read_bytes() == b"drawn_ema_sample 10"


def test_a_run_that_made_nothing_leaves_nothing(tmp_path):
    assert gallery.keep(tmp_path / "run", "vae", tmp_path) == []
    assert not (tmp_path / "figures" / "vae").exists()
    assert gallery.page([MADE], tmp_path).count("#") == 1


def test_the_page_shows_pictures_and_the_first_lines_of_texts(tmp_path):
    folder = tmp_path / "figures" / "vae"
    write(folder, "drawn_sample.png", b"")
    verse = "\n".join(["```", "Aqui me pongo a cantar", *"abcdefghijklm"])
    write(folder, "samples_text.txt", verse.encode())
    page = gallery.page([MADE], tmp_path)
    assert "## VAE, mnist\n\n`configs/vae/mnist.py`\n" in page
    assert "![drawn_sample](figures/vae/drawn_sample.png)" in page
    shown = page.split("````text\n")[1].split("\n````")[0].splitlines()
    assert shown == verse.splitlines()[: gallery.LINES]
    former = {**MADE, "config": "configs/mnist/vae.py:cpu"}
    assert "`configs/vae/mnist.py:cpu`" in gallery.page([former], tmp_path)
    assert "([all](figures/vae/samples_text.txt))" in page

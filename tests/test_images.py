"""Images: which paths a row may name, what is found before a run, and squares for small models."""

from __future__ import annotations

import base64
import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evalkit.config import ImageLimits
from evalkit.images import BadImage, EncodedImage, check, digest, folder_of, locate, read, sniff, squared
from tests.samples import encode, gradient

LIMITS = ImageLimits()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def complaint(name: str, folder: Path, limits: ImageLimits = LIMITS, *, decode: bool = False) -> str:
    """Why an image is refused: one line that names it."""
    with pytest.raises(BadImage) as caught:
        check(locate(name, str(folder)), limits, decode)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder, and a file beside it that is no business of a data set's."""
    (tmp_path / "secret.png").write_bytes(b"not for a model")
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    return data


# --- where an image may be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "images/../../secret.png",
        "./../data/../secret.png",
        "..",
        ".",  # the folder itself
        "../data-of-others/a.png",  # begins with the folder's name, and is beside it
        "link.png",
        "linked/secret.png",
    ],
)
def test_a_relative_path_cannot_leave_the_data_folder(name: str, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent)
    with pytest.raises(BadImage, match="may not leave the data folder"):
        locate(name, str(folder))


def test_a_link_that_stays_in_the_folder_is_followed(folder: Path) -> None:
    (folder / "images" / "a.png").write_bytes(encode())
    (folder / "b.png").symlink_to("images/a.png")
    assert locate("b.png", str(folder)).location == str(folder / "images" / "a.png")


def test_a_data_folder_that_is_a_link_itself_keeps_its_images(folder: Path) -> None:
    (folder / "a.png").write_bytes(encode())
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert read(locate("a.png", folder_of(link / "rows.jsonl"))).data == encode()


def test_a_data_folder_at_the_root_of_the_disk_holds_everything() -> None:
    assert locate("etc/hostname", "/").location == os.path.realpath("/etc/hostname")


def test_an_absolute_path_is_the_users_own_choice(folder: Path) -> None:
    assert locate("/elsewhere/a.png", str(folder)).location == "/elsewhere/a.png"


@pytest.mark.parametrize("name", ["", "a\0.png", "/etc/passwd\0.png"])
def test_what_is_no_path_is_refused(name: str, folder: Path) -> None:
    assert "is not an image path" in complaint(name, folder)


@given(st.text(st.sampled_from("./ab~\\ "), max_size=12))
def test_no_relative_path_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    try:
        source = locate(name, str(tmp_path))
    except BadImage:
        return
    assert name.startswith("/") or source.location.startswith(f"{tmp_path}/")


def test_urls_are_handed_on_as_they_are_and_never_looked_at(folder: Path) -> None:
    for url in ("http://no-such-host.invalid/a b.png", "https://h/../a.png"):
        source = locate(url, str(folder))
        check(source, LIMITS, decode=True)
        assert (source.kind, source.location) == ("url", url)


def test_a_data_url_is_its_bytes(folder: Path) -> None:
    image = read(locate(data_url(encode(format="JPEG")), str(folder)))
    # The type is by the bytes: the URL says PNG.
    assert image == EncodedImage(encode(format="JPEG"), "image/jpeg")


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,@@@@", "data:image/png;base64", "data:image/png,abc", "data:", "data:,"]
)
def test_a_damaged_data_url_is_refused_and_shown_short(url: str, folder: Path) -> None:
    assert len(complaint(url + "A" * 500, folder)) < 200


# --- checks before a run ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "media_type"),
    [("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tiff"), ("WEBP", "webp")],
)
def test_the_type_is_by_the_bytes_not_by_the_name(format: str, media_type: str, folder: Path) -> None:
    (folder / "a.txt").write_bytes(encode(format=format))
    source = locate("a.txt", str(folder))
    check(source, LIMITS, decode=True)
    assert read(source) == EncodedImage(encode(format=format), f"image/{media_type}")


def test_a_missing_image_is_refused(folder: Path) -> None:
    assert complaint("no.png", folder) == f"{folder}/no.png: No such file or directory"


def test_a_folder_and_a_pipe_are_no_images(folder: Path) -> None:
    # A pipe would be read for ever.
    os.mkfifo(folder / "pipe.png")
    assert "is not a file" in complaint("images", folder)
    assert "is not a file" in complaint("pipe.png", folder)


@pytest.mark.parametrize(
    "content", [b"", b"GIF", b"a text, whatever its name says", b"BM a text again", b"\0" * 99]
)
def test_a_text_that_is_called_png_is_refused(content: bytes, folder: Path) -> None:
    (folder / "a.png").write_bytes(content)
    assert complaint("a.png", folder) == f"{folder}/a.png: is not an image of a known type"


@pytest.mark.parametrize("format", ["PPM", "ICO", "TGA", "JPEG2000", "EPS"])
def test_a_type_that_cannot_be_sent_is_found_before_the_run(format: str, folder: Path) -> None:
    # Pillow opens these; reading them for a request would fail in the middle of the run.
    (folder / "a").write_bytes(encode(format=format))
    assert "is not an image of a known type" in complaint("a", folder)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_truncated_image_is_found_by_the_full_check(format: str, folder: Path) -> None:
    data = encode((64, 64), format=format)
    (folder / "a").write_bytes(data[: len(data) * 2 // 3])
    assert str(folder / "a") in complaint("a", folder, decode=True)


def test_the_header_alone_does_not_tell_that_an_image_is_truncated(folder: Path) -> None:
    # Why the full check exists: headers are read in microseconds, pixels are not.
    data = encode((64, 64))
    (folder / "a.png").write_bytes(data[: len(data) * 2 // 3])
    check(locate("a.png", str(folder)), LIMITS)


def test_an_image_is_refused_from_one_pixel_over_the_limit_on(folder: Path) -> None:
    (folder / "a.png").write_bytes(encode((10, 10)))
    check(locate("a.png", str(folder)), ImageLimits(max_pixels=100))
    assert "10×10 pixels, more than ++image_limits.max_pixels=99" in complaint(
        "a.png", folder, ImageLimits(max_pixels=99)
    )


def test_an_image_is_refused_from_one_byte_over_the_limit_on(folder: Path) -> None:
    data = encode()
    (folder / "a.png").write_bytes(data)
    for name in ("a.png", data_url(data)):
        check(locate(name, str(folder)), ImageLimits(max_bytes=len(data)))
        message = complaint(name, folder, ImageLimits(max_bytes=len(data) - 1))
        assert f"more than ++image_limits.max_bytes={len(data) - 1}" in message


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with a header of any size and the chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        parts += [struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(kind + body))]
    return b"".join(parts)


def test_a_decompression_bomb_is_refused_by_its_header(folder: Path) -> None:
    # 100 KB that would be 10 GB of pixels.
    (folder / "a.png").write_bytes(png(100_000, 100_000, (b"IDAT", zlib.compress(bytes(10**7)))))
    message = complaint("a.png", folder, decode=True)
    assert "100000×100000 pixels, more than ++image_limits.max_pixels=100,000,000" in message


def test_a_bomb_in_a_text_chunk_is_refused(folder: Path) -> None:
    text = b"comment\0\0" + zlib.compress(bytes(10**8))
    (folder / "a.png").write_bytes(png(1, 1, (b"zTXt", text), (b"IDAT", zlib.compress(b"\0\0"))))
    assert complaint("a.png", folder, decode=True)


FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


@given(st.sampled_from(FORMATS), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_a_damaged_image_is_refused_or_good_but_never_another_error(format: str, rng: random.Random) -> None:
    # Decoders raise all sorts: SyntaxError, ValueError, RuntimeError.
    data = bytearray(encode((16, 12), format=format))
    for _ in range(rng.choice((1, 2, 20))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    length = len(data) if rng.random() < 0.7 else rng.randrange(len(data))
    source = locate(data_url(bytes(data[:length])), "/")
    for full in (True, False):
        try:
            check(source, ImageLimits(max_pixels=10**6), full)
        except BadImage:
            continue
        try:
            squared(read(source))
        except BadImage:
            assert not full, "the full check lets pass what cannot be decoded"


def test_what_cannot_be_decoded_is_a_bad_image_when_squared() -> None:
    # The check by headers lets it pass; one such row must not end the run.
    data = encode((64, 48))
    with pytest.raises(BadImage, match="damaged"):
        squared(EncodedImage(data[: len(data) * 2 // 3], "image/png"))


def test_the_digest_is_of_the_bytes_and_of_a_urls_text(folder: Path) -> None:
    (folder / "a.png").write_bytes(encode())
    by_file, by_data = locate("a.png", str(folder)), locate(data_url(encode()), str(folder))
    assert digest(by_file, read(by_file)) == digest(by_data, read(by_data))
    (folder / "a.png").write_bytes(encode((8, 7)))
    assert digest(by_file, read(by_file)) != digest(by_data, read(by_data))
    urls = [locate(f"http://h/{name}", str(folder)) for name in "ab"]
    assert digest(urls[0], None) != digest(urls[1], None)


@given(st.binary(max_size=40))
def test_any_bytes_can_be_asked_for_their_type(data: bytes) -> None:
    assert sniff(data) in (None, "image/png", "image/jpeg", "image/gif", "image/bmp", "image/tiff")


# --- squares ------------------------------------------------------------------------------------------------


def opened(image: EncodedImage) -> Image.Image:
    return Image.open(io.BytesIO(image.data))


def square_of(data: bytes) -> Image.Image:
    return opened(squared(EncodedImage(data, sniff(data) or "")))


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(
        [
            *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
            *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
            *(("TIFF", mode) for mode in ("CMYK", "F", "LAB", "YCbCr")),
            *(("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGBA")),
        ]
    ),
)
def test_any_image_becomes_a_square_without_alpha(width: int, height: int, kind: tuple[str, str]) -> None:
    format, mode = kind
    data = encode((width, height), format=format) if mode == "I;16" else encode((width, height), mode, format)
    square = square_of(data)
    assert square.size == (max(width, height),) * 2
    assert square.mode in ("RGB", "L")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_square_travels_byte_for_byte(format: str, mode: str) -> None:
    image = EncodedImage(encode((9, 9), mode, format), f"image/{format.lower()}")
    assert squared(image) is image


def test_the_picture_stands_in_the_middle_on_the_colour_of_its_corner() -> None:
    square = square_of(encode((4, 2)))
    assert square.crop((0, 1, 4, 3)).tobytes() == gradient((4, 2)).tobytes()
    assert {square.getpixel((x, y)) for x in range(4) for y in (0, 3)} == {(0, 0, 128)}


def test_a_picture_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = square_of(encode((4, 2), exif=exif))
    upright = gradient((4, 2)).transpose(Image.Transpose.ROTATE_270)
    assert turned.crop((1, 0, 3, 4)).tobytes() == upright.tobytes()
    # Also where it is square already: the server need not look at EXIF.
    assert (
        square_of(encode((4, 4), exif=exif)).tobytes()
        == gradient((4, 4)).transpose(Image.Transpose.ROTATE_270).tobytes()
    )


def test_a_very_long_picture_is_shrunk_before_it_is_padded() -> None:
    # As a square it would be 10 GB, and within the limit of pixels.
    assert square_of(encode((60_000, 2), "L")).size == (4096, 4096)


def test_16_bits_a_pixel_keep_their_shades() -> None:
    # Pillow's own conversion cuts everything above 255 off: a white picture.
    shades = Image.new("I;16", (3, 1))
    for x, value in enumerate((0, 0x8000, 0xFFFF)):
        shades.putpixel((x, 0), value)
    stream = io.BytesIO()
    shades.save(stream, "PNG")
    middle = square_of(stream.getvalue()).crop((0, 1, 3, 2))
    assert [middle.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    # A figure drawn in black on nothing would be black on black.
    picture = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    picture.putpixel((0, 0), (0, 0, 0, 255))
    stream = io.BytesIO()
    if mode == "P":
        indexed = Image.new("P", (2, 2), 1)
        indexed.putpalette([0, 0, 0, 9, 9, 9])
        indexed.putpixel((0, 0), 0)
        indexed.save(stream, "PNG", transparency=1)
    else:
        picture.convert(mode).save(stream, "PNG")
    square = square_of(stream.getvalue())
    assert square.getpixel((0, 0)) == (0, 0, 0)
    assert square.getpixel((1, 1)) == (255, 255, 255)


def test_print_colours_come_out_as_they_look() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (16, 8), (255, 0, 0)).convert("CMYK").save(stream, "JPEG", quality=95)
    red, green, blue = square_of(stream.getvalue()).getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15

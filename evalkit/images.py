"""Images: from what a row names to bytes that travel as they are; limits and checks before a run.

Four forms are read, as in NeMo-Skills: a path relative to the JSON Lines file, an absolute path, an
http(s) URL (handed to the server as it is, never fetched here) and a base64 data URL.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import blake3
import pybase64

from evalkit.errors import UserError

if TYPE_CHECKING:
    from evalkit.config import ImageLimits

Kind = Literal["file", "url", "data"]

SNIFFED_BYTES = 16
"""Bytes of a file's beginning that tell its type."""

LARGEST_SQUARE = 4096
"""Pixels of a side that is padded: more than models with a square input look at."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image is: ``location`` is a path (kind file), a URL, or a data URL."""

    kind: Kind
    location: str

    @property
    def shown(self) -> str:
        """The location as a person wants to see it: data URLs are cut short."""
        return self.location if self.kind != "data" else f"{self.location[:40]}…"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image ready to be sent: its encoded bytes as they were, and its type by those bytes."""

    data: bytes
    media_type: str


class BadImage(UserError):
    """An image that cannot be used: missing, unreadable, or over a limit."""


def locate(name: str, folder: str) -> ImageSource:
    """What a row's image field means; ``folder`` holds the JSON Lines file (a resolved, absolute path).

    Raises BadImage where a relative path leads out of the folder, through ``..`` or a link.
    """
    if name.startswith(("http://", "https://")):
        return ImageSource("url", name)
    if name.startswith("data:"):
        return ImageSource("data", name)
    if "\0" in name or not name:
        raise BadImage(f"{name!r}: is not an image path")
    if os.path.isabs(name):
        return ImageSource("file", name)
    real = os.path.realpath(os.path.join(folder, name))
    if not real.startswith(folder.rstrip(os.sep) + os.sep):
        raise BadImage(f"{name}: a relative image path may not leave the data folder {folder}")
    return ImageSource("file", real)


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes of an image file say, or None where they say nothing known."""
    for magic, media_type in (
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ):
        if data.startswith(magic):
            return media_type
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return None


def read(source: ImageSource) -> EncodedImage:
    """The encoded bytes of a file or a data URL. Raises BadImage; a URL is not read here."""
    if source.kind == "file":
        try:
            with open(source.location, "rb", buffering=0) as stream:
                data = stream.read()
        except OSError as error:
            raise BadImage(f"{source.location}: {error.strerror or error}") from None
    else:
        data = _data_url_bytes(source.location)
    media_type = sniff(data)
    if media_type is None:
        raise BadImage(f"{source.shown}: is not an image of a known type")
    return EncodedImage(data, media_type)


def digest(source: ImageSource, image: EncodedImage | None) -> str:
    """What stands for the image in a content key: the digest of its bytes, or of the URL's text."""
    return blake3.blake3(source.location.encode() if image is None else image.data).hexdigest(32)


def check(source: ImageSource, limits: ImageLimits, decode: bool = False) -> None:
    """Raise BadImage where an image is missing, unreadable or over the limits.

    Reads the header alone, unless ``decode`` asks for every pixel. A URL is taken as it is.
    """
    if source.kind == "url":
        return
    from PIL import Image, UnidentifiedImageError

    # The limits are ours and configurable; Pillow's own would only warn.
    Image.MAX_IMAGE_PIXELS = None
    try:
        if source.kind == "file":
            status = os.stat(source.location)
            if not stat.S_ISREG(status.st_mode):
                # A pipe or a device would be read for ever.
                raise BadImage(f"{source.shown}: is not a file")
            size = status.st_size
        else:
            data = _data_url_bytes(source.location)
            size = len(data)
        if size > limits.max_bytes:
            raise BadImage(
                f"{source.shown}: {size:,} bytes, more than ++image_limits.max_bytes={limits.max_bytes:,}"
            )
        with open(source.location, "rb") if source.kind == "file" else io.BytesIO(data) as stream:
            # Pillow opens more types than are sent; read() would refuse them in the middle of the run.
            if sniff(stream.read(SNIFFED_BYTES)) is None:
                raise BadImage(f"{source.shown}: is not an image of a known type")
            stream.seek(0)
            image = Image.open(stream)
            width, height = image.size
            if width * height > limits.max_pixels:
                raise BadImage(
                    f"{source.shown}: {width}×{height} pixels, more than "
                    f"++image_limits.max_pixels={limits.max_pixels:,}"
                )
            if decode:
                image.load()
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage(f"{source.shown}: is not an image of a known type") from None
    except OSError as error:
        raise BadImage(f"{source.shown}: {error.strerror or error}") from None
    except Exception as error:  # decoders raise all sorts on damaged files: SyntaxError, RuntimeError, …
        raise BadImage(f"{source.shown}: damaged ({error})") from None


def squared(image: EncodedImage) -> EncodedImage:
    """The image as a small model with a square input wants it: upright, RGB, padded to a square.

    An image that is so already travels as it is. The padding has the colour of the top left corner: the
    background, for drawn scenes. A server that resizes by squeezing would otherwise distort shapes. A longer
    side than ``LARGEST_SQUARE`` is shrunk to it first: padded, 100,000×100 pixels would be 30 GB.
    Raises BadImage where it cannot be decoded: the check before a run need not have read every pixel.
    """
    try:
        return _squared(image)
    except Exception as error:  # decoders raise all sorts on damaged files
        raise BadImage(f"damaged ({error})") from None


def _squared(image: EncodedImage) -> EncodedImage:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(image.data)) as opened:
        upright = opened.getexif().get(0x0112, 1) == 1
        plain = image.media_type in ("image/png", "image/jpeg") and opened.mode in ("RGB", "L")
        if plain and upright and opened.width == opened.height:
            return image
        turned = ImageOps.exif_transpose(opened)
        if turned.has_transparency_data:
            turned = Image.alpha_composite(
                Image.new("RGBA", turned.size, (255, 255, 255, 255)), turned.convert("RGBA")
            )
        elif turned.mode.startswith("I"):
            # 16 bits a pixel: Pillow's own conversion to RGB would cut off at 255.
            turned = turned.point(lambda value: value / 256).convert("L")
        rgb = turned.convert("RGB")
        if max(rgb.size) > LARGEST_SQUARE:
            rgb.thumbnail((LARGEST_SQUARE, LARGEST_SQUARE))
        side = max(rgb.size)
        canvas = Image.new("RGB", (side, side), rgb.getpixel((0, 0)))
        canvas.paste(rgb, ((side - rgb.width) // 2, (side - rgb.height) // 2))
        buffer = io.BytesIO()
        canvas.save(buffer, "PNG", compress_level=1)
    return EncodedImage(buffer.getvalue(), "image/png")


def folder_of(rows_file: Path) -> str:
    """The resolved data folder that relative image paths of a rows file start from."""
    return os.path.realpath(rows_file.parent)


def _data_url_bytes(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise BadImage(f"{url[:40]}…: a data URL must read data:<type>;base64,<data>")
    try:
        return pybase64.b64decode(body, validate=True)
    except ValueError as error:
        raise BadImage(f"{url[:40]}…: the base64 is damaged ({error})") from None

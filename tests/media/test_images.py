from __future__ import annotations

import contextlib
import io
import logging
import struct
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from tests.clips import moving, quadrants
from vidstyle.errors import MediaError
from vidstyle.frames import MediaInfo
from vidstyle.media import open_sink, open_source, read_style, stills
from vidstyle.media.images import ImageSink, ImageSource
from vidstyle.media.stills import Still, _hdr_of_profile, encode, fit, read_header, read_still
from vidstyle.media.tonemap import hdr_word, tone_mapped
from vidstyle.settings import EncodeSettings, RunSettings

SECOND = Fraction(1)


def photo(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(quadrants(width, height))


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def deep(width: int = 32, height: int = 24, channels: int = 3) -> npt.NDArray[np.uint16]:
    values = np.arange(height * width * channels, dtype=np.uint32) * 977 % 65536
    return values.astype(np.uint16).reshape(height, width, channels)


def write_png16(path: Path, pixels: npt.NDArray[np.uint16]) -> Path:
    """By hand, so that the codec under test does not make its own exam: RGB or RGBA, 16 bits a channel."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def info_of(path: Path) -> MediaInfo:
    return ImageSource(path, RunSettings()).info


def write(path: Path, picture: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], source: Path) -> None:
    with ImageSink(path, info_of(source)) as sink:
        sink.write(picture, 0, SECOND, source.name)


def write_frames(sink: ImageSink, count: int) -> None:
    for index in range(count):
        sink.write(moving(index), index, SECOND)


def write_and_fail(sink: ImageSink) -> None:
    sink.write(moving(0), 0, SECOND)
    raise KeyError


def difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).mean())


class TestReading:
    @pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.gif"])
    def test_lossless_formats_give_the_exact_pixels(self, tmp_path: Path, name: str) -> None:
        still = read_still(saved(tmp_path / name, photo()))
        assert np.array_equal(still.rgb, quadrants())
        assert still.alpha is None

    @pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.jp2"])
    def test_lossy_formats_come_close(self, tmp_path: Path, name: str) -> None:
        assert difference(read_still(saved(tmp_path / name, photo(), quality=95)).rgb, quadrants()) < 4

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
    def test_every_exif_orientation(self, tmp_path: Path, ending: str, orientation: int) -> None:
        exif = Image.Exif()
        exif[274] = orientation
        path = saved(tmp_path / f"a.{ending}", photo(), exif=exif, **({} if ending == "tif" else {"quality": 95}))
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        header = read_header(path)
        assert header is not None
        assert (header.height, header.width) == expected.shape[:2]
        assert difference(read_still(path).rgb, expected) < 4

    @pytest.mark.parametrize("mode", ["L", "1", "P"])
    def test_grey_bilevel_and_palette(self, tmp_path: Path, mode: str) -> None:
        image = photo().convert(mode)
        assert np.array_equal(read_still(saved(tmp_path / "a.png", image)).rgb, np.asarray(image.convert("RGB")))

    @pytest.mark.parametrize("ending", ["jpg", "tif"])
    def test_cmyk(self, tmp_path: Path, ending: str) -> None:
        image = Image.fromarray(moving(3)).convert("CMYK")
        path = saved(tmp_path / f"a.{ending}", image, **({"quality": 95} if ending == "jpg" else {}))
        assert difference(read_still(path).rgb, moving(3)) < 4

    @pytest.mark.parametrize(("mode", "ending"), [("RGBA", "png"), ("LA", "png"), ("RGBA", "tif"), ("LA", "tif"), ("RGBA", "webp")])
    def test_transparency_is_kept_apart_and_colours_are_as_stored(self, tmp_path: Path, mode: str, ending: str) -> None:
        alpha = Image.linear_gradient("L").resize((64, 48))
        image = photo().convert(mode)
        image.putalpha(alpha)
        exactly = {"lossless": True, "exact": True} if ending == "webp" else {}
        still = read_still(saved(tmp_path / f"a.{ending}", image, **exactly))
        assert still.alpha is not None
        assert np.array_equal(still.alpha, np.asarray(alpha))
        assert np.array_equal(still.rgb, np.asarray(photo().convert(mode).convert("RGB")))

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_transparent_tiff_is_upright(self, tmp_path: Path, orientation: int) -> None:
        image = photo().convert("RGBA")
        image.putalpha(Image.linear_gradient("L").resize((64, 48)))
        exif = Image.Exif()
        exif[0x0112] = orientation
        plain = saved(tmp_path / "plain.tif", image.convert("RGB"), exif=exif)
        assert np.array_equal(read_still(saved(tmp_path / "a.tif", image, exif=exif)).rgb, read_still(plain).rgb)

    def test_transparent_palette(self, tmp_path: Path) -> None:
        still = read_still(saved(tmp_path / "a.png", photo().quantize(8), transparency=bytes([10, 200])))
        assert still.alpha is not None
        assert {10, 200} <= set(np.unique(still.alpha).tolist())

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_a_grey_level_that_stands_for_transparent(self, tmp_path: Path, depth: int) -> None:
        largest = (1 << depth) - 1
        values = np.array([[0, largest], [largest, 0]] * 3, np.uint16)  # (6, 2)
        bits = ((values[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(6, -1).astype(np.uint8)
        rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
        header = struct.pack(">IIBBBBB", 2, 6, depth, 0, 0, 0, 0)
        path = tmp_path / "a.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", struct.pack(">H", largest))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )  # fmt: skip
        still = read_still(path)
        assert still.alpha is not None
        np.testing.assert_array_equal(still.alpha == 0, values == largest)
        np.testing.assert_array_equal(still.rgb[..., 0] == 0, values == 0)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
    def test_targa(self, tmp_path: Path, mode: str) -> None:
        image = photo().convert(mode)
        if mode == "RGBA":
            image.putalpha(90)
        still = read_still(saved(tmp_path / "a.tga", image))
        np.testing.assert_array_equal(still.rgb, np.asarray(image.convert("RGB")))
        assert (still.alpha is not None) == (mode == "RGBA")
        assert ImageSource(tmp_path / "a.tga", RunSettings()).info.width == 64

    def test_what_is_called_otherwise_is_no_targa(self, tmp_path: Path) -> None:
        saved(tmp_path / "a.tga", photo())
        (tmp_path / "a.tga").rename(tmp_path / "a.dat")
        assert read_header(tmp_path / "a.dat") is None

    def test_transparency_that_hides_nothing_is_none(self, tmp_path: Path) -> None:
        assert read_still(saved(tmp_path / "a.png", photo().convert("RGBA"))).alpha is None

    def test_16_bits(self, tmp_path: Path) -> None:
        pixels = deep(channels=4)
        still = read_still(write_png16(tmp_path / "a.png", pixels))
        assert np.array_equal(still.rgb, pixels[..., :3])
        assert still.alpha is not None
        assert np.array_equal(still.alpha, pixels[..., 3])

    def test_colour_profiles_and_text_make_no_noise(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = saved(tmp_path / "a.png", photo(), icc_profile=b"no profile" * 20)
        assert np.array_equal(read_still(path).rgb, quadrants())
        assert capfd.readouterr() == ("", "")

    def test_exif_behind_the_picture_is_not_looked_for(self, tmp_path: Path) -> None:
        """Reading a header must not cost decoding the picture: this one has no pixels to decode."""
        header = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
        path = tmp_path / "a.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"junk"))
        found = read_header(path)
        assert found is not None
        assert (found.width, found.height) == (40, 30)


class TestRefusing:
    @pytest.mark.parametrize("content", [b"", b"hello, world\n" * 20, bytes(1000)], ids=["empty", "text", "zeros"])
    def test_what_is_no_picture(self, tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        with pytest.raises(MediaError, match=r"a\.jpg: .*(empty|not a picture)"):
            ImageSource(path, RunSettings())
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm"])
    def test_half_a_file(self, tmp_path: Path, ending: str, capfd: pytest.CaptureFixture[str]) -> None:
        path = saved(tmp_path / f"a.{ending}", Image.effect_noise((200, 150), 90).convert("RGB"))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(MediaError, match=rf"a\.{ending}: "):
            read_still(path)
        assert capfd.readouterr() == ("", "")

    def test_damage_in_a_png(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = saved(tmp_path / "a.png", Image.effect_noise((200, 150), 90))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(MediaError, match=r"a\.png: .*damaged"):
            read_still(path)
        assert capfd.readouterr() == ("", "")

    def test_absurd_size_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
        with pytest.raises(MediaError, match=r"bomb\.png: .*pixels"):
            ImageSource(path, RunSettings())

    @pytest.mark.parametrize("ending", ["gif", "webp", "tif", "bmp", "jpg", "ppm"])
    def test_absurd_sizes_by_other_headers(self, tmp_path: Path, ending: str) -> None:
        """A small file whose header asks for gigabytes: refused before a pixel is decoded."""
        path = saved(tmp_path / f"bomb.{ending}", Image.new("RGB", (7, 9)))
        data, large = path.read_bytes(), 65_000
        if ending == "ppm":
            data = data.replace(b"7 9", b"65000 65000")
        elif ending == "gif":
            data = data[:6] + struct.pack("<HH", large, large) + data[10:]
        elif ending == "bmp":
            data = data[:18] + struct.pack("<ii", large, large) + data[26:]
        elif ending == "webp":  # VP8, whose sizes have 14 bits: just over the limit
            place = data.index(b"\x9d\x01\x2a") + 3
            data = data[:place] + struct.pack("<HH", 16383, 16383) + data[place + 4 :]
        elif ending == "jpg":
            place = data.index(b"\xff\xc0") + 5
            data = data[:place] + struct.pack(">HH", large, large) + data[place + 4 :]
        else:  # every entry of a TIFF's directory: number, type, count, value
            at = struct.unpack("<I", data[4:8])[0] + 2
            for entry in range(at, at + 12 * struct.unpack("<H", data[at - 2 : at])[0], 12):
                if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257):
                    data = data[: entry + 2] + struct.pack("<HII", 4, 1, large) + data[entry + 12 :]
        path.write_bytes(data)
        with pytest.raises(MediaError, match=rf"bomb\.{ending}: .*pixels"):
            ImageSource(path, RunSettings())

    def test_pixels_that_are_no_colours(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="float32"):
            read_still(saved(tmp_path / "a.tif", photo().convert("F")))

    def test_a_telephone_s_jpeg_with_a_second_picture(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[274] = 6
        second = Image.new("RGB", (8, 6))
        path = saved(tmp_path / "a.jpg", photo(), format="MPO", save_all=True, append_images=[second], exif=exif, quality=95)
        header = read_header(path)
        assert header is not None
        assert (header.format, header.width, header.height, header.animated) == ("JPEG", 48, 64, False)
        alone = saved(tmp_path / "b.jpg", photo(), exif=exif, quality=95)
        np.testing.assert_array_equal(read_still(path).rgb, read_still(alone).rgb)

    def test_a_jpeg_of_absurdly_many_scans_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = saved(tmp_path / "a.jpg", photo(), progressive=True)
        data = path.read_bytes()
        assert stills._scans(data) == 10  # as libjpeg writes them
        assert stills._scans(b"\xff\xd8\xff\xe1\x00\x06\xff\xda\xff\xda" + data[2:]) == 10  # what lies in a segment is none
        last = data.rindex(b"\xff\xda")
        monkeypatch.setattr(stills, "_MOST_SCANNED", 30 * 64 * 48)
        assert read_still(path).rgb.shape == (48, 64, 3)
        path.write_bytes(data[:last] + data[last:-2] * 22 + data[-2:])
        with pytest.raises(MediaError, match=r"a\.jpg: 31 scans over 64×48"):
            read_still(path)

    def test_a_profile_that_pillow_does_not_unpack_is_named(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", photo(), icc_profile=bytes(3 << 20))
        with pytest.raises(MediaError, match=r"a\.png: its colour profile or a text in it is absurdly large"):
            read_still(path)

    def test_an_odd_jpeg_says_nothing_past_us(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """libjpeg writes of bytes that it does not expect to stderr itself, from inside OpenCV."""
        path = saved(tmp_path / "a.jpg", photo(), quality=95)
        before = read_still(path).rgb
        data = path.read_bytes()
        place = data.index(b"\xff\xdb")
        path.write_bytes(data[:place] + bytes(7) + data[place:])
        np.testing.assert_array_equal(read_still(path).rgb, before)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "bmp", "gif", "ppm", "jp2"])
    def test_random_damage_gives_a_picture_or_a_clear_error(self, tmp_path: Path, ending: str) -> None:
        random = np.random.default_rng(7)
        path = saved(tmp_path / f"a.{ending}", photo(24, 16))
        sound = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            data = sound.copy()
            places = random.integers(0, min(len(data), 200), size=3)
            data[places] = random.integers(0, 256, size=3)
            path.write_bytes(data.tobytes())
            # Anything but a picture and a MediaError fails the test.
            with contextlib.suppress(MediaError):
                assert read_still(path).rgb.shape[2] == 3


class TestSource:
    def test_one_frame_at_time_zero(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.png", photo())
        with ImageSource(path, RunSettings()) as source:
            (frame,) = source.frames()
            assert (frame.index, frame.pts, frame.name) == (0, 0, "a.png")
            assert np.array_equal(frame.rgb, quadrants())
            assert source.info == MediaInfo(path, "image", 64, 48, Fraction(24), Fraction(1, 24), 1, Fraction(1, 24))
            assert list(source.frames(1)) == []

    @pytest.mark.parametrize(("size", "expected"), [(32, (24, 32)), (128, (96, 128)), (1, (1, 1)), (None, (48, 64))])
    def test_size_is_that_of_the_longest_side(self, tmp_path: Path, size: int | None, expected: tuple[int, int]) -> None:
        source = ImageSource(saved(tmp_path / "a.png", photo()), RunSettings(size=size))
        (frame,) = source.frames()
        assert frame.rgb.shape[:2] == expected == (source.info.height, source.info.width)

    def test_16_bits_become_8_rounded(self, tmp_path: Path) -> None:
        (frame,) = ImageSource(write_png16(tmp_path / "a.png", deep()), RunSettings()).frames()
        assert np.array_equal(frame.rgb, np.round(deep() / 257).astype(np.uint8))

    def test_pages_are_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = saved(tmp_path / "a.tif", photo(), save_all=True, append_images=[Image.new("RGB", (64, 48))])
        (frame,) = ImageSource(path, RunSettings()).frames()
        assert np.array_equal(frame.rgb, quadrants())
        assert "several pages" in caplog.text

    def test_fit_averages_when_it_shrinks(self) -> None:
        stripes = np.zeros((8, 8, 3), np.uint8)
        stripes[:, ::2] = 200
        assert (fit(stripes, 4, 4) == 100).all()


class TestSink:
    @pytest.mark.parametrize("name", ["o.png", "o.tif", "o.tiff", "o.bmp", "O.PNG"])
    def test_lossless_formats_keep_every_pixel(self, tmp_path: Path, name: str) -> None:
        source = saved(tmp_path / "in.png", photo())
        write(tmp_path / name, moving(2), source)
        assert np.array_equal(np.asarray(Image.open(tmp_path / name)), moving(2))

    @pytest.mark.parametrize("name", ["o.jpg", "o.jpeg", "o.webp"])
    def test_lossy_formats_are_of_high_quality(self, tmp_path: Path, name: str) -> None:
        source = saved(tmp_path / "in.png", photo())
        write(tmp_path / name, moving(2), source)
        with Image.open(tmp_path / name) as image:
            assert image.format == {"jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}[name[2:]]
            assert difference(np.asarray(image), moving(2)) < 2

    def test_a_deep_source_gives_a_deep_result_where_the_format_can(self, tmp_path: Path) -> None:
        source, result = write_png16(tmp_path / "in.png", deep()), deep()[::-1]
        for name, expected in (("o.png", result), ("o.tif", result), ("o.bmp", np.round(result / 257).astype(np.uint8))):
            write(tmp_path / name, result, source)
            assert np.array_equal(read_still(tmp_path / name).rgb, expected), name

    def test_a_shallow_source_gives_a_shallow_result(self, tmp_path: Path) -> None:
        write(tmp_path / "o.png", deep(), saved(tmp_path / "in.png", photo(32, 24)))
        assert read_still(tmp_path / "o.png").rgb.dtype == np.uint8

    @pytest.mark.parametrize("name", ["o.png", "o.webp", "o.tif"])
    def test_transparency_follows_the_size(self, tmp_path: Path, name: str) -> None:
        alpha = Image.new("L", (64, 48), 0)
        alpha.paste(255, (32, 0, 64, 48))
        image = photo()
        image.putalpha(alpha)
        write(tmp_path / name, moving(2, 32, 24), saved(tmp_path / "in.png", image))
        written = read_still(tmp_path / name).alpha
        assert written is not None
        assert written.shape == (24, 32)
        assert (written[:, :16] == 0).all()
        assert (written[:, 16:] == 255).all()

    def test_deep_transparency(self, tmp_path: Path) -> None:
        source = write_png16(tmp_path / "in.png", deep(channels=4))
        for picture in (deep(), moving(0, 32, 24)):
            write(tmp_path / "o.png", picture, source)
            still = read_still(tmp_path / "o.png")
            assert still.alpha is not None
            assert still.alpha.dtype == still.rgb.dtype == picture.dtype

    def test_lost_transparency_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        image = photo()
        image.putalpha(100)
        write(tmp_path / "o.jpg", moving(2), saved(tmp_path / "in.png", image))
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "o.jpg" in caplog.text
        assert "transparency" in caplog.text

    @pytest.mark.parametrize("directory", [False, True])
    def test_transparency_that_a_video_loses_is_said_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, directory: bool) -> None:
        image = photo()
        image.putalpha(100)
        saved(tmp_path / "1.png", image)
        saved(tmp_path / "2.png", image)
        with open_source(tmp_path if directory else tmp_path / "1.png", RunSettings(), film=True) as medium:
            for _ in range(2):
                list(medium.frames())
        assert len(caplog.records) == 1
        assert "transparency" in caplog.text

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_a_transparent_tiff_says_so_in_its_tags(self, tmp_path: Path, dtype: type) -> None:
        rgb = np.full((5, 6, 3), 200, dtype)
        alpha = np.arange(30).reshape(5, 6).astype(dtype)
        path = tmp_path / "a.tif"
        path.write_bytes(encode(rgb, path, Still(rgb, alpha)))
        with Image.open(path) as image:
            assert image.tag_v2[338] == (2,)
        still = read_still(path)
        np.testing.assert_array_equal(still.alpha, alpha)
        np.testing.assert_array_equal(still.rgb, rgb)

    def test_a_second_frame_is_refused(self, tmp_path: Path) -> None:
        source = saved(tmp_path / "in.png", photo())
        with pytest.raises(MediaError, match="one frame"), ImageSink(tmp_path / "o.png", info_of(source)) as sink:
            write_frames(sink, 2)
        assert not (tmp_path / "o.png").exists()

    def test_no_frame_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="no frame"), ImageSink(tmp_path / "o.png", info_of(saved(tmp_path / "in.png", photo()))):
            pass

    def test_a_failure_leaves_what_was_there(self, tmp_path: Path) -> None:
        source = saved(tmp_path / "in.png", photo())
        (tmp_path / "o.png").write_bytes(b"older")
        with pytest.raises(KeyError), ImageSink(tmp_path / "o.png", info_of(source)) as sink:
            write_and_fail(sink)
        assert (tmp_path / "o.png").read_bytes() == b"older"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png", "o.png"]

    def test_an_unwritable_place_leaves_nothing(self, tmp_path: Path) -> None:
        source = saved(tmp_path / "in.png", photo())
        with pytest.raises(MediaError, match=r"o\.png: cannot be written"), ImageSink(tmp_path / "gone" / "o.png", info_of(source)) as sink:
            sink.write(moving(0), 0, SECOND)

    def test_a_size_that_the_format_cannot_hold(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        source = saved(tmp_path / "in.png", photo())
        with pytest.raises(MediaError, match=r"o\.webp: .*17000×1"), ImageSink(tmp_path / "o.webp", info_of(source)) as sink:
            sink.write(np.zeros((1, 17000, 3), np.uint8), 0, SECOND)
        assert capfd.readouterr() == ("", "")

    def test_source_of_a_video_frame_has_nothing_to_take_over(self, tmp_path: Path) -> None:
        info = MediaInfo(tmp_path / "clip.mp4", "video", 64, 48, Fraction(24), Fraction(1, 24))
        with ImageSink(tmp_path / "o.png", info) as sink:
            sink.write(moving(0), 0, SECOND)
        with Image.open(io.BytesIO((tmp_path / "o.png").read_bytes())) as image:
            assert image.mode == "RGB"


class TestProfiles:
    """ICC profiles: the values are painted as they are, so what they mean stays the same."""

    PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def painted(self, source: Path, target: Path) -> bytes | None:
        with open_source(source, RunSettings()) as medium, open_sink(target, medium.info, EncodeSettings(), source, RunSettings()) as sink:
            for frame in medium.frames():
                sink.write(frame.rgb.astype(np.uint16) * 257, frame.pts, frame.time_base, frame.name)
        with Image.open(target) as image:
            image.load()
            found = image.info.get("icc_profile")
        assert found is None or isinstance(found, bytes)
        return found

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
    def test_a_profile_is_kept(self, tmp_path: Path, suffix: str) -> None:
        source = tmp_path / "photo.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 31, 3), np.uint8)).save(source, icc_profile=self.PROFILE)
        assert self.painted(source, tmp_path / f"out{suffix}") == self.PROFILE
        assert self.painted(tmp_path / f"out{suffix}", tmp_path / "again.png") == self.PROFILE

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_with_sixteen_bits_and_transparency(self, tmp_path: Path, suffix: str) -> None:
        values = np.random.default_rng(0).integers(0, 65535, (20, 31, 4)).astype(np.uint16)
        source, target = tmp_path / f"photo{suffix}", tmp_path / f"out{suffix}"
        source.write_bytes(encode(values[..., :3], source, Still(values[..., :3], values[..., 3], self.PROFILE)))
        with open_source(source, RunSettings()) as medium, open_sink(target, medium.info, EncodeSettings(), source, RunSettings()) as sink:
            sink.write(values[..., :3], 0, medium.info.time_base, next(medium.frames()).name)
        kept = read_still(target)
        np.testing.assert_array_equal(kept.rgb, values[..., :3])
        np.testing.assert_array_equal(kept.alpha, values[..., 3])
        assert kept.profile == self.PROFILE

    def test_a_lost_profile_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        source = tmp_path / "photo.png"
        photo().save(source, icc_profile=self.PROFILE)
        write(tmp_path / "out.bmp", moving(2), source)
        assert "out.bmp" in caplog.text
        assert "profile" in caplog.text

    def test_one_of_another_colour_model_is_not(self, tmp_path: Path) -> None:
        source = tmp_path / "grey.png"
        grey = self.PROFILE[:16] + b"GRAY" + self.PROFILE[20:]
        Image.fromarray(np.full((20, 30), 90, np.uint8)).save(source, icc_profile=grey)
        assert self.painted(source, tmp_path / "out.png") is None


class TestWhite:
    """What stands for white need not be the largest number that the values' type holds."""

    RAMP = np.linspace(0, 1, 64)

    @pytest.mark.parametrize(("kind", "white"), [(b"P6", 1023), (b"P5", 4095), (b"P5", 100), (b"P2", 100), (b"P2", 1023), (b"P3", 65535)])
    def test_of_pnm(self, tmp_path: Path, kind: bytes, white: int) -> None:
        values = (self.RAMP * white).round().astype(">u2" if white > 255 else "u1")
        rows = np.repeat(np.tile(values, (48, 1))[..., None], 3 if kind in (b"P3", b"P6") else 1, axis=2)
        pixels = rows.tobytes() if kind > b"P3" else (" ".join(map(str, rows.ravel().tolist())) + "\n").encode()
        (tmp_path / "a.pnm").write_bytes(kind + b"\n# by hand\n64 48\n%d\n" % white + pixels)
        self.is_ramp(read_still(tmp_path / "a.pnm"), 1 / white)

    @pytest.mark.parametrize("remark", ["# by hand\r", "#\n# two\n", " " * 5000 + "#c\n", " " * 60 + "#c\r"])
    def test_remarks_and_spaces_in_a_pnm(self, tmp_path: Path, remark: str) -> None:
        """Read in no time, whatever there is of them; where white cannot be found the picture is as dark as its numbers."""
        (tmp_path / "a.pgm").write_bytes(b"P5 " + remark.encode() + b"8 6\n200\n" + bytes([200] * 48))
        began = time.monotonic()
        with contextlib.suppress(MediaError):  # which OpenCV leaves to us to say
            assert int(read_still(tmp_path / "a.pgm").rgb[0, 0, 0]) in (200, 255)
        assert time.monotonic() - began < 2

    def test_a_deep_tiff_whose_white_is_0(self, tmp_path: Path) -> None:
        values = np.tile((self.RAMP * 65535).round().astype(np.uint16), (48, 1))
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[262] = 0
        Image.fromarray(65535 - values).save(tmp_path / "a.tif", tiffinfo=tags)
        with Image.open(tmp_path / "a.tif") as written:
            assert written.tag_v2[262] == 0
        self.is_ramp(read_still(tmp_path / "a.tif"), 1e-5)

    def test_a_tga_whose_fourth_byte_is_nothing(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "a.tga", photo().convert("RGBA"))
        data = bytearray(path.read_bytes())
        data[17] &= 0xF0
        data[21::4] = bytes(len(data[21::4]))
        path.write_bytes(data)
        assert read_still(path).alpha is None

    @pytest.mark.parametrize(("pix_fmt", "about"), [("gray10le", 10), ("gbrp12le", 12), ("rgb48le", 12)])
    def test_of_jpeg_2000(self, tmp_path: Path, pix_fmt: str, about: int) -> None:
        self.is_ramp(read_still(coded(tmp_path / "a.jp2", "jpeg2000", self.deep(), pix_fmt)), 8 / 2**about)

    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
    def test_of_avif(self, tmp_path: Path, pix_fmt: str) -> None:
        self.is_ramp(read_still(coded(tmp_path / "a.avif", "libsvtav1", self.deep(), pix_fmt, crf="1")), 8 / 255)

    def deep(self) -> npt.NDArray[np.uint16]:
        return np.tile((self.RAMP * 65535).round().astype(np.uint16)[None, :, None], (48, 1, 3))

    def is_ramp(self, still: Still, tolerance: float) -> None:
        found = still.rgb / np.iinfo(still.rgb.dtype).max
        np.testing.assert_allclose(found, np.broadcast_to(self.RAMP[None, :, None], found.shape), atol=tolerance)


def coded(path: Path, codec: str, picture: npt.NDArray[np.uint16], pix_fmt: str, transfer: int = 1, **options: str) -> Path:
    """A picture, (H, W, 3) uint16 RGB, as FFmpeg codes it."""
    kind = {"format": "avif"} if path.suffix == ".avif" else {"format": "image2", "options": {"update": "1"}}
    with av.open(str(path), "w", **kind) as container:
        stream = container.add_stream(codec, rate=1, options=options)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9 if transfer > 1 else 1, transfer, 1, 2
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(format=pix_fmt, dst_colorspace=1, dst_color_range=2)
        frame.pts = 0
        for packet in stream.encode(frame) + stream.encode(None):
            container.mux(packet)
    return path


class TestHdr:
    """Tone mapped as film is, and said."""

    GREY = np.full((48, 64, 3), 38010, np.uint16)
    """PQ's value of the white of SDR, 203 cd/m²; which the curve brings down a little, to leave room for what is brighter."""

    def png(self, path: Path, transfer: int | None) -> Path:
        write_png16(path, self.GREY)
        data = path.read_bytes()
        if transfer is not None:
            data = data[:33] + chunk(b"cICP", bytes([9, transfer, 0, 1])) + data[33:]
        path.write_bytes(data)
        return path

    def test_png(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        expected = tone_mapped(self.GREY, 16)
        assert 190 < expected[0, 0, 0] < 240
        path = self.png(tmp_path / "a.png", 16)
        with open_source(path, RunSettings()) as source:
            np.testing.assert_array_equal(next(source.frames()).rgb, expected)
        assert [record.getMessage() for record in caplog.records] == [f"{path}: {hdr_word(16)}"]

    @pytest.mark.parametrize("transfer", [None, 1, 13])
    def test_a_png_of_another_curve_is_as_it_was(self, tmp_path: Path, transfer: int | None, caplog: pytest.LogCaptureFixture) -> None:
        path = self.png(tmp_path / "a.png", transfer)
        np.testing.assert_array_equal(read_still(path).rgb, self.GREY)
        assert not caplog.records

    def test_a_text_that_speaks_of_it_means_nothing(self, tmp_path: Path) -> None:
        path = self.png(tmp_path / "a.png", None)
        data = path.read_bytes()
        path.write_bytes(data[:33] + chunk(b"tEXt", b"about\0cICP\x09\x10\0\x01") + data[33:])
        header = read_header(path)
        assert header is not None
        assert header.hdr is None

    def test_its_profile_is_not_that_of_what_comes_out(self, tmp_path: Path) -> None:
        path = self.png(tmp_path / "a.png", 16)
        data = path.read_bytes()
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        path.write_bytes(data[:33] + chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)) + data[33:])
        assert read_still(path).profile is None

    @pytest.mark.parametrize(("transfer", "is_hdr"), [(16, True), (18, True), (13, False), (None, False)])
    def test_a_profile_that_says_so(self, tmp_path: Path, transfer: int | None, is_hdr: bool) -> None:
        """ICC's `cicp` tag, behind the others."""
        profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        if transfer is not None:
            tags, values = int.from_bytes(profile[128:132], "big"), b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])
            end = 132 + 12 * tags
            moved = bytearray(profile[132:end])
            for place in range(4, len(moved), 12):  # all values move by the length of one more entry
                moved[place : place + 4] = (int.from_bytes(moved[place : place + 4], "big") + 12).to_bytes(4, "big")
            entry = b"cicp" + (len(profile) + 12).to_bytes(4, "big") + len(values).to_bytes(4, "big")
            profile = profile[:128] + (tags + 1).to_bytes(4, "big") + moved + entry + profile[end:] + values
            profile[:4] = len(profile).to_bytes(4, "big")
        path = self.png(tmp_path / "a.png", None)
        data = path.read_bytes()
        path.write_bytes(data[:33] + chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(profile))) + data[33:])
        still = read_still(path)
        if is_hdr:
            np.testing.assert_array_equal(still.rgb, tone_mapped(self.GREY, transfer or 0, 9))
        else:
            np.testing.assert_array_equal(still.rgb, self.GREY)

    @pytest.mark.parametrize("profile", [b"", b"x" * 131, b"\0" * 128 + b"\xff" * 4 + b"cicp" * 3])
    def test_a_profile_that_is_none_says_nothing(self, profile: bytes) -> None:
        assert _hdr_of_profile(profile) is None

    def test_avif(self, tmp_path: Path) -> None:
        path = coded(tmp_path / "a.avif", "libsvtav1", self.GREY, "yuv420p10le", transfer=16)
        np.testing.assert_allclose(read_still(path).rgb.astype(int), tone_mapped(self.GREY, 16).astype(int), atol=4)

    def test_frames_and_styles_say_it_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        for name in ("0.png", "1.png"):
            self.png(tmp_path / name, 18)
        with open_source(tmp_path, RunSettings()) as source:
            assert len(list(source.frames())) == 2
        assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / '0.png'}: {hdr_word(18)}"]
        caplog.clear()
        read_style(tmp_path / "0.png")
        assert [record.getMessage() for record in caplog.records] == [f"STYLE {tmp_path / '0.png'}: {hdr_word(18)}"]

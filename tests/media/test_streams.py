"""What a film has beside its picture arrives untouched, in step, or is named in a warning."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from PIL import Image

from tests.clips import FONT, make_clip, quadrants, read_cover, read_packets, read_times, with_attachment
from vidstyle.media.decode import VideoSource
from vidstyle.media.encode import VideoSink
from vidstyle.media.streams import Span
from vidstyle.settings import RunSettings

CHAPTERS = [(0.0, 0.4, "One"), (0.4, 1.0, "Two"), (1.0, 1.2, "Three")]
WORDS = [(0.1, 0.35, "first <i>words</i>"), (0.5, 0.9, "zweite Wörter")]


def rewrite(source: Path, target: Path, **run: object) -> Path:
    settings = RunSettings(**run)
    with VideoSource(source, settings) as film, VideoSink(target, film.info, source=source, span=Span.of(settings)) as sink:
        for frame in film.frames():
            sink.write(frame.rgb, frame.pts, frame.time_base)
    return target


def film(path: Path, **more: object) -> Path:
    options = {"audio": "aac", "subtitles": WORDS, "chapters": CHAPTERS, "metadata": {"title": "The film", "artist": "Nobody"}}
    return make_clip(path, 30, **{**options, **more})


def chapters(path: Path) -> list[tuple[float, float, str]]:
    with av.open(str(path)) as container:
        return [
            (float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"]) for c in container.chapters()
        ]


def words(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        wrapped = container.streams.subtitles[0].codec_context.name == "mov_text"
    packets = [(time, data[2:] if wrapped else data) for time, data in read_packets(path, "subtitle")]
    return [(time, data) for time, data in packets if data]


def _changed(before: Path, after: Path, disposition: Disposition | None = None, title: str | None = None) -> Path:
    """The film with another disposition or title of its sound."""
    with av.open(str(before)) as source, av.open(str(after), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for stream in source.streams:
            streams[stream.index].metadata.update(stream.metadata)
            if stream.type == "audio":
                if disposition is not None:
                    streams[stream.index].disposition = disposition
                if title is not None:
                    streams[stream.index].metadata["title"] = title
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return after


class TestCopied:
    @pytest.mark.parametrize(
        ("source", "target"), [("in.mp4", "out.mp4"), ("in.mp4", "out.mkv"), ("in.mkv", "out.mp4"), ("in.mov", "out.mov")]
    )
    def test_titles_of_streams(self, tmp_path: Path, source: str, target: str) -> None:
        plain = film(tmp_path / f"plain{Path(source).suffix}", subtitles=None, chapters=None)
        before = _changed(plain, tmp_path / source, title="Piste originale")
        with av.open(str(rewrite(before, tmp_path / target))) as container:
            tags = {key.casefold(): value for key, value in container.streams.audio[0].metadata.items()}
        assert tags["title" if target.endswith("mkv") else "name"] == "Piste originale"

    @pytest.mark.parametrize("source", ["in.mp4", "in.mkv"])
    @pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov"])
    def test_sound_is_the_same_to_the_bit_and_in_step(self, tmp_path: Path, source: str, target: str) -> None:
        before, after = film(tmp_path / source), tmp_path / target
        rewrite(before, after)
        old, new = read_packets(before, "audio"), read_packets(after, "audio")
        assert [data for _, data in new] == [data for _, data in old]
        # A container that cannot begin before 0 moves everything alike.
        moved = read_times(after)[0] - read_times(before)[0]
        assert all(abs((b - a) - moved) <= Fraction(1, 500) for (a, _), (b, _) in zip(old, new, strict=True))
        assert all(abs((b - a) - moved) <= Fraction(1, 500) for a, b in zip(read_times(before), read_times(after), strict=True))
        if not target.endswith("mkv"):
            assert moved == 0

    @pytest.mark.parametrize("source", ["in.mp4", "in.mkv"])
    @pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov", "out.webm"])
    def test_subtitles_keep_words_times_and_language(self, tmp_path: Path, source: str, target: str) -> None:
        after = rewrite(film(tmp_path / source, audio=None), tmp_path / target)
        first = b"first words" if source == "in.mkv" and target in ("out.mp4", "out.mov") else b"first <i>words</i>"
        assert words(after) == [(Fraction(1, 10), first), (Fraction(1, 2), "zweite Wörter".encode())]
        with av.open(str(after)) as container:
            assert container.streams.subtitles[0].language in ("deu", "ger")

    def test_styling_that_would_be_shown_as_words_is_left_out_and_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        styled = [(0.1, 0.3, '<font color="red">red</font> and <b>bold</b> {\\i1}here{\\i0}, 1 < 2')]
        before = film(tmp_path / "in.mkv", audio=None, subtitles=styled)
        assert words(rewrite(before, tmp_path / "out.mp4")) == [(Fraction(1, 10), b"red and bold here, 1 < 2")]
        assert words(rewrite(before, tmp_path / "out.webm")) == [(Fraction(1, 10), b"red and <b>bold</b> here, 1 < 2")]
        assert caplog.text.count("cannot hold the styling of the subtitles of in.mkv") == 2

    def test_copying_again_and_again_adds_no_subtitle(self, tmp_path: Path) -> None:
        before = film(tmp_path / "0.mp4", audio=None)
        counts = []
        for number in range(3):
            before = rewrite(before, tmp_path / f"{number + 1}.mp4")
            counts.append(len(read_packets(before, "subtitle")))
        assert counts[0] == counts[1] == counts[2]

    @pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov", "out.webm"])
    def test_chapters_and_tags(self, tmp_path: Path, target: str) -> None:
        after = rewrite(film(tmp_path / "in.mp4", audio=None), tmp_path / target)
        assert chapters(after) == [(pytest.approx(a), pytest.approx(b), title) for a, b, title in CHAPTERS]
        with av.open(str(after)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            assert (tags["title"], tags["artist"]) == ("The film", "Nobody")
            assert tags.get("encoder", "Lavf") == "Lavf"

    def test_stream_tags_and_dispositions(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mkv")
        with av.open(str(before)) as container:
            wanted = [(s.type, s.language, s.disposition, s.metadata.get("title")) for s in container.streams if s.type != "video"]
        after = rewrite(before, tmp_path / "out.mkv")
        with av.open(str(after)) as container:
            assert [(s.type, s.language, s.disposition, s.metadata.get("title")) for s in container.streams if s.type != "video"] == wanted
        assert ("audio", "fra") in [entry[:2] for entry in wanted]

    def test_two_languages_and_their_default(self, tmp_path: Path) -> None:
        before = _two_voices(tmp_path / "in.mkv")
        after = rewrite(before, tmp_path / "out.mp4")
        with av.open(str(after)) as container:
            voices = [(s.language, bool(s.disposition & av.stream.Disposition.default)) for s in container.streams.audio]
        assert voices == [("fra", False), ("deu", True)]

    def test_attachments(self, tmp_path: Path) -> None:
        before = with_attachment(film(tmp_path / "plain.mkv"), tmp_path / "in.mkv")
        with av.open(str(rewrite(before, tmp_path / "out.mkv"))) as container:
            font = next(stream for stream in container.streams if stream.type == "attachment")
            assert (font.metadata["filename"], font.data) == ("font.ttf", FONT)

    @pytest.mark.parametrize("name", ["../../../evil.ttf", "/evil.ttf", "..", "a\nb\x1b[2J", "C:\\evil", "x" * 5000])
    def test_an_attachment_s_name_leads_nowhere(self, tmp_path: Path, name: str) -> None:
        """Nor do titles of subtitles and chapters: they are copied, and never a path."""
        inner = tmp_path / "a" / "b" / "c"
        inner.mkdir(parents=True)
        plain = film(inner / "plain.mkv", metadata={"title": name, "filename": name}, chapters=[(0, 0.2, name)])
        before = with_attachment(plain, inner / "in.mkv", name)
        with av.open(str(rewrite(before, inner / "out.mkv"))) as container:
            font = next(stream for stream in container.streams if stream.type == "attachment")
            assert (font.metadata["filename"], font.data) == (name, FONT)
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["in.mkv", "out.mkv", "plain.mkv"]

    def test_a_cover_picture(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = film(tmp_path / "in.mp4", cover=True, chapters=None)
        with av.open(str(rewrite(before, tmp_path / "out.mp4"))) as container:
            assert [bool(s.disposition & av.stream.Disposition.attached_pic) for s in container.streams.video] == [False, True]
        assert not caplog.records

    @pytest.mark.parametrize(("suffix", "name"), [(".mp4", "cover.jpg"), (".mkv", "small_cover.jpg")])
    def test_a_cover_picture_is_an_attachment_of_matroska(
        self, tmp_path: Path, suffix: str, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As a stream it would be a second film."""
        before = film(tmp_path / f"in{suffix}", cover=suffix == ".mp4", chapters=None)
        if suffix == ".mkv":
            (data := io.BytesIO()).name = name
            Image.fromarray(quadrants(16, 16)).save(data)
            before = with_attachment(before, tmp_path / "with.mkv", name, "image/jpeg", data.getvalue())
        after = rewrite(rewrite(before, tmp_path / "once.mkv"), tmp_path / "out.mkv")
        with av.open(str(after)) as container:
            picture, cover = container.streams.video
            assert (picture.disposition & Disposition.attached_pic, picture.index) == (0, 0)
            assert cover.disposition & Disposition.attached_pic
            assert (cover.metadata["filename"], cover.metadata["mimetype"]) == (name, "image/jpeg")
        assert read_cover(before) == read_cover(after)
        assert not caplog.records

    def test_a_cover_picture_is_named_where_it_is_lost(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = film(tmp_path / "in.mp4", cover=True, chapters=None, subtitles=None)
        after = rewrite(before, tmp_path / "out.mov")
        assert "mjpeg" in caplog.text
        assert read_packets(after, "audio") == read_packets(before, "audio")

    def test_sound_longer_than_the_film_stays_whole(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", seconds=3.0, subtitles=None)
        after = rewrite(before, tmp_path / "out.mp4")
        assert read_packets(after, "audio") == read_packets(before, "audio")

    def test_a_film_that_begins_after_its_sound(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", pts=list(range(10, 40)), subtitles=None)
        after = rewrite(before, tmp_path / "out.mp4")
        assert read_times(after) == read_times(before)
        assert read_packets(after, "audio") == read_packets(before, "audio")

    def test_tags_that_are_no_utf8_pass_through(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mkv", metadata={"title": "Caf\u00e9 AAAA"})
        before.write_bytes(before.read_bytes().replace("Caf\u00e9 AAAA".encode(), b"Caf\xe9\xe9 AAAA"))
        after = rewrite(before, tmp_path / "out.mkv")
        assert b"Caf\xe9\xe9 AAAA" in after.read_bytes()

    def test_a_broadcast_clock_begins_at_zero(self, tmp_path: Path) -> None:
        before = make_clip(tmp_path / "in.ts", 20, audio="aac", format="mpegts", container_options={"output_ts_offset": "100"})
        after = rewrite(before, tmp_path / "out.mp4")
        assert read_times(before)[0] > 99
        assert read_times(after)[0] < Fraction(1, 10)
        old, new = read_packets(before, "audio"), read_packets(after, "audio")
        moved = read_times(before)[0] - read_times(after)[0]
        assert all(abs(a - b - moved) < Fraction(1, 1000) for (a, _), (b, _) in zip(old, new, strict=True))

    @pytest.mark.parametrize("suffix", [".ts", ".mpg"])
    def test_films_laid_end_to_end_keep_the_sound_of_each(self, tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
        part = make_clip(tmp_path / f"a{suffix}", 40, audio="mp2", codec="mpeg2video" if suffix == ".mpg" else "libx264")
        (tmp_path / f"both{suffix}").write_bytes(part.read_bytes() * 2)
        after = rewrite(tmp_path / f"both{suffix}", tmp_path / "out.mkv")
        old, new = read_packets(part, "audio"), read_packets(after, "audio")
        assert [data for _, data in new] == [data for _, data in old] * 2
        assert max(abs(b - a - Fraction("0.024")) for (a, _), (b, _) in itertools.pairwise(new)) <= Fraction(1, 1000)  # without a break
        between = read_times(part)[0] - old[0][0]
        times = read_times(after)
        for first, sound in ((times[0], new[0][0]), (times[40], new[len(old)][0])):
            assert abs(first - sound - between) <= Fraction(1, 1000)
        assert "broken times" not in caplog.text

    def test_rotation_is_not_applied_twice(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", rotation=90)
        with av.open(str(rewrite(before, tmp_path / "out.mp4"))) as container:
            frame = next(container.decode(video=0))
            assert (frame.rotation, frame.width, frame.height) == (0, 48, 64)

    def test_the_streams_are_interleaved(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", subtitles=None, chapters=None)
        with av.open(str(rewrite(before, tmp_path / "out.mp4"))) as container:
            places = sorted((p.pos, p.stream.type, p.dts * p.time_base) for p in container.demux() if p.size)
        late = {"audio": Fraction(-1), "video": Fraction(-1)}
        for _, kind, time in places:
            late[kind] = time
            assert abs(late["audio"] - late["video"]) < Fraction(6, 5) + Fraction(1, 5)
        assert {kind for _, kind, _ in places[: len(places) // 2]} == {"audio", "video"}


class TestLeftOut:
    def test_each_is_named_once(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        rewrite(film(tmp_path / "in.mkv", chapters=None), tmp_path / "out.gif")
        assert len(caplog.records) == 2
        assert caplog.text.count("audio stream 1 (aac, fra)") == 1
        assert caplog.text.count("subtitle stream 2") == 1
        assert "the tags ARTIST, title" in caplog.text

    def test_tags_that_a_container_has_no_place_for(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = film(tmp_path / "in.mkv", metadata={"title": "The film", "DIRECTOR": "Somebody"})
        rewrite(before, tmp_path / "out.mp4")
        assert "cannot hold the tag DIRECTOR of in.mkv" in caplog.text
        with av.open(str(tmp_path / "out.mp4")) as container:
            assert container.metadata["title"] == "The film"

    def test_dispositions_that_a_container_has_no_place_for(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = _changed(film(tmp_path / "plain.mkv", audio="libopus"), tmp_path / "in.mkv", disposition=Disposition.comment)
        rewrite(before, tmp_path / "out.webm")
        assert "the disposition comment of audio stream 1" in caplog.text

    @pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov"])
    def test_nothing_is_said_where_all_is_held(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, target: str) -> None:
        rewrite(film(tmp_path / "in.mp4"), tmp_path / target)
        assert not caplog.records

    def test_chapters_in_a_gif(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        rewrite(film(tmp_path / "in.mkv", audio=None, subtitles=None), tmp_path / "out.gif")
        assert "chapters" in caplog.text

    def test_an_attachment_in_mp4(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        before = with_attachment(film(tmp_path / "plain.mkv"), tmp_path / "in.mkv")
        rewrite(before, tmp_path / "out.mp4")
        assert "font.ttf" in caplog.text

    def test_nothing_is_said_when_all_fits(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        rewrite(film(tmp_path / "in.mp4"), tmp_path / "out.mp4")
        assert not caplog.records


class TestSpan:
    def test_sound_is_cut_to_the_frames_and_stays_in_step(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", subtitles=None)
        after = rewrite(before, tmp_path / "out.mp4", start="10f", end="20f")
        assert read_times(after) == [Fraction(i, 25) for i in range(10)]
        inside = [(t - Fraction(10, 25), data) for t, data in read_packets(before, "audio") if Fraction(10, 25) <= t < Fraction(20, 25)]
        new = read_packets(after, "audio")
        assert [data for _, data in new] == [data for _, data in inside]
        assert all(abs(a - b) < Fraction(1, 10000) for (a, _), (b, _) in zip(new, inside, strict=True))

    def test_cut_at_one_side_only(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", subtitles=None)
        sound = read_packets(before, "audio")
        late = read_packets(rewrite(before, tmp_path / "late.mp4", start="0.6"), "audio")
        early = read_packets(rewrite(before, tmp_path / "early.mp4", end="0.6"), "audio")
        assert [data for _, data in late] == [data for time, data in sound if time >= Fraction(3, 5)]
        assert [data for _, data in early] == [data for time, data in sound if time < Fraction(3, 5)]

    def test_chapters_are_cut_and_moved(self, tmp_path: Path) -> None:
        after = rewrite(film(tmp_path / "in.mkv", audio=None), tmp_path / "out.mkv", start="0.2", end="0.8")
        assert chapters(after) == [(0.0, pytest.approx(0.2), "One"), (pytest.approx(0.2), pytest.approx(0.6, abs=0.05), "Two")]

    def test_a_subtitle_that_reaches_over_the_start_is_shortened(self, tmp_path: Path) -> None:
        after = rewrite(film(tmp_path / "in.mkv", audio=None), tmp_path / "out.mkv", start="0.2", end="0.8")
        assert words(after) == [(Fraction(0), b"first <i>words</i>"), (Fraction(3, 10), "zweite Wörter".encode())]

    def test_a_resampled_film_keeps_all_its_sound(self, tmp_path: Path) -> None:
        before = film(tmp_path / "in.mp4", subtitles=None)
        after = rewrite(before, tmp_path / "out.mp4", fps=10)
        assert read_times(after) == [Fraction(i, 10) for i in range(12)]
        assert read_packets(after, "audio") == read_packets(before, "audio")


def _two_voices(path: Path) -> Path:
    """The tone of a film twice, the second marked as default."""
    plain = film(path.with_name("plain.mkv"), subtitles=None, chapters=None)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        picture, sound = source.streams.video[0], source.streams.audio[0]
        streams = {0: [target.add_stream_from_template(picture, opaque=True)], 1: []}
        for language in ("fra", "deu"):
            copy = target.add_stream_from_template(sound, opaque=True)
            copy.metadata["language"] = language
            copy.disposition = av.stream.Disposition.default if language == "deu" else av.stream.Disposition(0)
            streams[1].append(copy)
        for packet in [p for p in source.demux() if p.size]:
            index, pts, dts, tick = packet.stream_index, packet.pts, packet.dts, packet.time_base
            for stream in streams[index]:
                copied = av.Packet(bytes(packet))
                copied.pts, copied.dts, copied.time_base, copied.is_keyframe = pts, dts, tick, packet.is_keyframe
                copied.duration = packet.duration
                copied.stream = stream
                target.mux(copied)
    return path

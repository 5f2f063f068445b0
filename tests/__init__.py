"""Tests of vidstyle."""

from vidstyle.starting import patient_threads

patient_threads()  # as the commands do: before anything loads torch

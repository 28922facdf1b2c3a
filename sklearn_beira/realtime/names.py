"""Names of the streams of a session, and of their columns. Imports nothing slow."""

NAME = "BOLD twin"

#: Columns of the stream and of the log besides the regions.
EXTRAS = ("eeg_age_s", "quality", "feedback")

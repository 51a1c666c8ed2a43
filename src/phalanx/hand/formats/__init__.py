"""Hands as other programs have them: functions that write what theirs read, and read it back. `docs/formats.md` says what each loses."""

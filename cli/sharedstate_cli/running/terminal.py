"""The terminal of a job: lent to the program while that is in the foreground, so that keys and Ctrl-C reach it."""

from __future__ import annotations

import os
from typing import Self


class Terminal:
    """The controlling terminal on stdin. Only its foreground process group may read it and gets what its keys send."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lent = False

    @classmethod
    def of_stdin(cls) -> Self | None:
        """The controlling terminal, or None where stdin is none: then there is no job control."""
        try:
            os.tcgetpgrp(0)
        except OSError:
            return None
        return cls(0)

    def is_ours(self) -> bool:
        """Whether our own group is in the foreground."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False

    def lend(self, group: int) -> None:
        """Put another group into the foreground; without effect when the terminal is gone."""
        self.lent = self._give(group)

    def take_back(self) -> None:
        """Be in the foreground again, if the terminal was lent."""
        if self.lent:
            self._give(os.getpgrp())
            self.lent = False

    def _give(self, group: int) -> bool:
        try:
            os.tcsetpgrp(self._fd, group)
        except OSError:
            return False
        return True

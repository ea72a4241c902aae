"""Where a value is read: which folders a relative path may mean, and an ear for remarks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Surroundings:
    """What kinds may ask about beside the text; `heard` collects remarks on the value at hand."""

    folder: str  # of the ini file; the current one where there is no file
    cwd: str
    environ: Mapping[str, str] = field(default_factory=dict)
    heard: list[tuple[str, str]] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        self.heard.append(("warning", sentence))

    def inform(self, sentence: str) -> None:
        self.heard.append(("info", sentence))

    def absolute(self, path: str) -> str:
        """A path as the ini file means it: relative to the ini's folder.

        Files made for other servers mean the current folder; so what exists there, and not beside the ini, is
        taken from there. For something that is still to be made, the folder that it goes into decides.
        """
        path = os.path.expanduser(path)
        if os.path.isabs(path):
            return os.path.normpath(path)
        ours = os.path.normpath(os.path.join(self.folder, path))
        theirs = os.path.normpath(os.path.join(self.cwd, path))
        if ours == theirs or os.path.lexists(ours):
            return ours
        ours_could_be = os.path.isdir(os.path.dirname(ours))
        if os.path.lexists(theirs) or (not ours_could_be and os.path.isdir(os.path.dirname(theirs))):
            self.inform(f"{path} is not beside the ini file; {theirs} in the current folder is used")
            return theirs
        return ours

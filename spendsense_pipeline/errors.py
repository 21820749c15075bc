"""The one family of errors that a user of SpendSense is meant to read."""


class SpendSenseError(Exception):
    """Something was refused or cannot go on; nothing half done is left behind.

    ``code`` is a stable word for programs, the message is for the person who must act: what was found,
    where (file, row, field), and what would be right.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code

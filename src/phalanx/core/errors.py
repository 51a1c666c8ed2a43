"""The one exception that means: the input is at fault, not the program."""


class InputError(ValueError):
    """The user's input is at fault.

    The message is one sentence that names the file (or argument) and the fault. The command line prints it and exits
    with 2; anything else that escapes is a fault of the program and exits with 1.
    """

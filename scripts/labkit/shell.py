"""Running commands: always with a limit, always with the reason when one fails."""

import subprocess

LIMIT = 20.0


class LabError(Exception):
    """One sentence the operator can act on."""


def run(*argv, limit=LIMIT, check=True, stdin=None):
    """Runs `argv` and returns its `CompletedProcess` with text output; a failure or an overrun is a `LabError`."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as late:
        raise LabError(f"`{' '.join(argv)}` took longer than {limit:g} s") from late
    except FileNotFoundError as missing:
        raise LabError(f"`{argv[0]}` is not installed: run scripts/install --test") from missing
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(argv)}` failed ({done.returncode}): {said}")
    return done

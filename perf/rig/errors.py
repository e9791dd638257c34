"""What goes wrong in the rig, in one sentence that its user can act on."""


class RigError(Exception):
    """One sentence."""

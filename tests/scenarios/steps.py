"""A step of a scenario, as README.md tells."""


def step(do, gives=None, fails=None, within=None, **given):
    out = {"do": do}
    if given:
        out["with"] = given
    if gives is not None:
        out["gives"] = gives
    if fails is not None:
        out["fails"] = dict(zip(("status", "object", "says"), fails))
    if within is not None:
        out["within"] = within
    return out

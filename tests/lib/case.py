"""Says which of many cases failed, and stops there: after one failure the daemon may be gone."""
import contextlib


@contextlib.contextmanager
def case(**values):
    """Adds the values to the text of whatever is raised inside."""
    try:
        yield
    except BaseException as error:
        error.add_note("in the case of " + ", ".join(f"{name} = {value!r}" for name, value in values.items()))
        raise

"""How property tests run: on the same examples wherever a commit is tested, and on new ones if asked.

`pytest --hypothesis-profile random` looks for counterexamples that nobody has seen.
"""

from hypothesis import settings

# No example has a deadline: what a busy machine takes for it says nothing of the code.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None)
settings.load_profile("same")

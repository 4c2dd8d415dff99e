"""Laws are tried with a handful of examples each, and without a deadline: the machines that run them are shared."""

from hypothesis import Phase, settings

settings.register_profile("core", deadline=None, max_examples=60)
# The same examples for each mutant, so that its score does not depend on chance. Failing examples are not shrunk,
# because a failure is all that counts.
settings.register_profile(
    "mutants", settings.get_profile("core"), derandomize=True, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("core")

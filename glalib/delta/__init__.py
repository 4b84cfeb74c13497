"""The delta rule, which erases before it writes: its exact risk, its recurrence, its module.

The rooms; the first four do without torch, and what users need is handed on by `glalib` itself:

    risk        `delta_rule_risk` and `optimal_delta_rule`: what they take, refuse and return
    law         the formula of the exact risk: the recursion of its moments, for keys that are features or of length one
    steps       the search for the best steps in theory, in these moments
    blocks      two tasks and one step each: risk and best steps by formulas
    attention   the recurrence, gated, token by token and in chunks
    model       `DeltaRule`, the recurrence as a module beside `GLA`: how it makes steps and decays of tokens
"""

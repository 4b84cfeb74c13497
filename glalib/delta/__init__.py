"""The delta rule, which erases before it writes: its exact risk, its recurrence, its module.

The rooms; the first four do without torch, and what users need is handed on by `glalib` itself:

    risk        the exact risk on multitask prompts, and the best steps: what is called
    law         how far given steps lead: the moments that close, for keys that are features or of length one
    steps       how the best steps are searched for, in these moments
    blocks      two tasks and one step each: risk and best steps by formulas
    attention   the recurrence, gated, token by token and in chunks
    model       `DeltaRule`, the recurrence as a module beside `GLA`
"""

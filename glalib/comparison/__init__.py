"""`glalib.compare`: layers of any make, and the optima of theory, on the same prompts.

The rooms:

    side_by_side    `compare` itself: the prompts, the optima, the errors
    readers     what it is given, torch layers, records or functions, made callables from prompts to predictions
    result      what it finds, as a table and a picture
"""

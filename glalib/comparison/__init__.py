"""`glalib.compare`: layers of any make, and the optima of theory, on the same prompts.

The rooms:

    side_by_side    `compare` itself: which optima there are; draws prompts, asks every layer, takes risks and errors
    readers     what it is given, torch layers, records or functions, made callables from prompts to predictions
    result      what it finds, the record: its fields, the rows of its table, its notes, its picture
"""

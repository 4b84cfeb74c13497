"""RetNet, Mamba, RWKV and other layers in use, on the scale of this book.

The rooms:

    forms       a function for each, from its own tensors in its own conventions to its output
    parts       what these functions share: shapes, heads, normalisers
    recurrence  a diagonal less a matrix of rank one: the recurrence that holds all others, token by token
    catalogue   the same layers as data: how each forgets, writes and erases, and what of the book speaks of it
    zoo         whole layers as transformers has them, from the extra `zoo`, with the gates that they declare
"""

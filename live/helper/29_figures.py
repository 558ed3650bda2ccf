"""Figures of Matplotlib."""

import itertools


def reduce_callbacks(pickler, registry):
    """Its registry counts on each time it is pickled: no figure would be the same twice."""
    reduced = registry.__reduce_ex__(PICKLE_PROTOCOL)
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, dict) and isinstance(state.get('_cid_gen'), int):
        registry._cid_gen = itertools.count(state['_cid_gen'])
    return reduced


HANDLERS_OF_BASES['matplotlib.cbook.CallbackRegistry'] = reduce_callbacks

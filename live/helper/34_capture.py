"""The delta: changed units with their blobs, dropped units, what could not be carried."""

import os


def capture(user_ns, reached, registry, tracker, limits):
    """See 10_registry.py."""
    excluded = limits.get('excluded', registry.excluded)
    if not isinstance(excluded, dict):
        excluded = dict.fromkeys(excluded, 'left out by nbos.exclude')
    registry.excluded = excluded
    registry.forget_dead_classes()
    registry.clock += 1
    with Pass(user_ns, registry, limits.get('unitSeconds', UNIT_SECONDS)) as run:
        run.tracker = tracker
        question = question_of(run, reached)
        run.names = question.names
        dumps = dump_all(question)
        units, taken = [], set()
        for group in join(run, dumps):
            record, changed = settle(run, question, group, taken)
            taken.add(record.id)
            if changed:
                units.append(record)
        dropped = [
            unit_id for unit_id in question.units
            if unit_id not in taken and remove_unit(registry, unit_id)
        ]
        dropped += drop_unreachable_classes(registry)
        dropped += keep_limits(registry, units, limits)
        registry.bound = {name: id(value) for name, value in question.names.items()}
        changed = [
            unit_of(run, record) for record in units
            if record.travels and registry.units.get(record.id) is record
        ]
        if changed or dropped:
            forget_old_blobs(registry)
    return {
        'units': changed,
        'dropped': dropped,
        'unreplicated': unreplicated_names(registry),
        'pinned': [],
        'stateBytes': state_bytes(registry),
    }


def settle(run, question, group, taken):
    """One unit from dumps that belong together: (its record, whether it is new or changed)."""
    registry = run.registry
    roots = tuple(sorted(root for dump in group for root in dump.roots))
    owners = [registry.unit_of[root] for root in roots if root in registry.unit_of]
    owners = [unit_id for unit_id in owners if unit_id not in taken]
    # Most roots, then the older: what splits or merges keeps the id of its larger part.
    unit_id = max(dict.fromkeys(owners), key=owners.count, default=None)
    known = registry.units.get(unit_id)
    if len(group) == 1:
        dump = group[0]
    else:
        careful = any(dump.careful for dump in group)
        dump = dump_roots(run, roots, [question.item(root) for root in roots], careful)
        reasons = {name: reason for part in group for name, reason in part.reasons.items()}
        finish_dump(run, dump, reasons)
    if known is not None and known.travels and is_as_known(dump, known):
        return known, False
    record = UnitRecord(unit_id or 'u' + os.urandom(6).hex(), registry.clock, roots)
    record.travels = known is not None and known.travels
    record.digest = dump.digest
    record.hashes = dump.hashes
    record.classes = frozenset(dump.findings.classes)
    record.globals = frozenset(dump.findings.globals)
    record.careful = dump.careful
    record.reasons = dump.reasons
    record.nbytes = len(dump.skeleton) + sum(view.nbytes for view in dump.views)
    replace_unit(registry, record)
    run.dump_of[record.id] = dump
    return record, True


def replace_unit(registry, record):
    old = registry.units.get(record.id)
    for root in old.roots if old is not None else ():
        if registry.unit_of.get(root) == record.id:
            del registry.unit_of[root]
    for root in record.roots:
        registry.unit_of[root] = record.id
    registry.units[record.id] = record


def remove_unit(registry, unit_id):
    """Whether the kernel's table has the unit."""
    record = registry.units.pop(unit_id)
    for root in record.roots:
        if registry.unit_of.get(root) == unit_id:
            del registry.unit_of[root]
    return record.travels


def drop_unreachable_classes(registry):
    """Units of classes that no name leads to any more; their ids."""
    only_classes = {
        unit_id for unit_id, record in registry.units.items()
        if all(kind == 'c' for kind, _ in record.roots)
    }
    if not only_classes:
        return []
    waiting = [record for key, record in registry.units.items() if key not in only_classes]
    while waiting:
        for class_id in waiting.pop().classes:
            unit_id = registry.unit_of.get(('c', class_id))
            if unit_id in only_classes:
                only_classes.discard(unit_id)
                waiting.append(registry.units[unit_id])
    return [unit_id for unit_id in sorted(only_classes) if remove_unit(registry, unit_id)]


def keep_limits(registry, units, limits):
    """Keeps units that are over a limit from travelling, names listed; ids that the table had."""
    quota, out_bytes = limits.get('quotaBytes') or 0, limits.get('outBytes', OUT_BYTES)
    had = {record.id for record in units if record.travels}
    units = [record for record in units if registry.units.get(record.id) is record]
    for record in units:
        record.travels = True
    total = state_bytes(registry)
    for record in sorted(units, key=lambda each: -each.nbytes):
        names = [key for kind, key in record.roots if kind == 'n']
        if record.nbytes > out_bytes and names and all(is_output(name) for name in names):
            reason = f'an output of more than {out_bytes} bytes'
        elif quota and total > quota:
            reason = f'the state of this kernel is over its quota of {quota} bytes'
        else:
            continue
        total -= record.nbytes
        record.travels = False
        record.reasons = {name: reason for name in names}
    return [record.id for record in units if not record.travels and record.id in had]


def is_output(name):
    return name.startswith('Out[') or name in LAST_OUTPUTS


def unit_of(run, record):
    """The unit as it travels, its changed content written."""
    dump, blobs = run.dump_of[record.id], run.registry.blobs
    buffers = []
    for content_hash, view in zip(dump.hashes, dump.views):
        blob = blobs.get(content_hash)
        if blob is None:
            blob = run.tracker.write_blob(view, content_hash)
            if 'inline' not in blob:
                blobs[content_hash] = blob
        buffers.append(blob)
    return {
        'id': record.id,
        'version': record.version,
        'kind': 'names' if any(kind == 'n' for kind, _ in record.roots) else 'definition',
        'names': [key for kind, key in record.roots if kind == 'n'],
        'skeleton': run.tracker.write_blob(dump.skeleton, dump.digest),
        'buffers': buffers,
    }


def forget_old_blobs(registry):
    """Blobs that no unit has any more may be gone from the disk."""
    live = {each for record in registry.units.values() for each in record.hashes}
    if len(live) < len(registry.blobs):
        registry.blobs = {key: blob for key, blob in registry.blobs.items() if key in live}

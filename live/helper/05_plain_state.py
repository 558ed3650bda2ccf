"""The plainest capture: every name that pickles alone. Files that follow replace it."""


class Registry:
    def __init__(self):
        self.versions = {}
        self.hashes = {}


def capture(user_ns, reached, registry, tracker, limits):
    units = []
    seen = set()
    for name in list(user_ns):
        if name.startswith('_') or name in ('In', 'Out', 'exit', 'quit', 'get_ipython', 'open'):
            continue
        try:
            content = pickle.dumps(user_ns[name], protocol=5)
        except Exception:
            continue
        seen.add(name)
        digest = hashlib.sha256(content).hexdigest()
        if registry.hashes.get(name) == digest:
            continue
        registry.hashes[name] = digest
        registry.versions[name] = registry.versions.get(name, 0) + 1
        units.append({
            'id': 'n:' + name,
            'version': registry.versions[name],
            'kind': 'names',
            'names': [name],
            'skeleton': tracker.write_blob(content),
            'buffers': [],
        })
    gone = [name for name in registry.hashes if name not in seen]
    for name in gone:
        del registry.hashes[name]
    dropped = ['n:' + name for name in gone]
    return {'units': units, 'dropped': dropped, 'unreplicated': [], 'stateBytes': 0}


def apply_state(user_ns, update, registry, read_blob):
    if update['reset']:
        for name in list(registry.hashes):
            user_ns.pop(name, None)
        registry.hashes.clear()
    for unit in update['units']:
        content = bytes(read_blob(unit['skeleton']))
        for name in unit['names']:
            user_ns[name] = pickle.loads(content)
            registry.hashes[name] = hashlib.sha256(content).hexdigest()
            registry.versions[name] = unit['version']
    for unit in update['dropped']:
        user_ns.pop(unit[2:], None)
        registry.hashes.pop(unit[2:], None)
    return {'failed': []}

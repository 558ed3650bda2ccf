"""Ambient adapters: settings and generators of NumPy, pandas, matplotlib and torch, when loaded."""


@adapter('numpy-random')
class NumpyRandom:
    """The legacy generator behind numpy.random.rand and its like."""

    @staticmethod
    def take():
        numpy = loaded('numpy')
        if numpy is None or 'numpy.random' not in sys.modules:
            return ABSENT
        name, keys, at, has_gauss, gauss = numpy.random.get_state()
        return (name, keys.tobytes(), int(at), int(has_gauss), float(gauss))

    @staticmethod
    def give(value):
        import numpy

        name, keys, at, has_gauss, gauss = value
        numpy.random.set_state((name, numpy.frombuffer(keys, 'uint32'), at, has_gauss, gauss))


@adapter('numpy-options')
class NumpyOptions:
    @staticmethod
    def take():
        numpy = loaded('numpy')
        if numpy is None or not hasattr(numpy, 'get_printoptions'):
            return ABSENT
        options = numpy.get_printoptions()
        # Formatters are functions of the user; what numpy 2 adds for itself is not settable.
        return ({k: v for k, v in options.items() if is_plain(v) and k != 'override_repr'},
                numpy.geterr())

    @staticmethod
    def give(value):
        import numpy

        numpy.set_printoptions(**value[0])
        numpy.seterr(**value[1])


def is_plain(value):
    """Whether a setting is data, with no object of the user in it."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(each) for each in value)
    if isinstance(value, dict):
        return all(is_plain(each) for each in value.values())
    return value is None or isinstance(value, (bool, int, float, str, bytes))


@adapter('pandas-options')
class PandasOptions:
    """Options that differ from their defaults."""

    @staticmethod
    def take():
        config = loaded('pandas._config.config')
        if config is None:
            return ABSENT
        changed = {}
        for key, option in config._registered_options.items():
            value = PandasOptions.value(config, key)
            if is_plain(value) and value != option.defval:
                changed[key] = value
        return changed

    @staticmethod
    def value(config, key):
        """Without get_option, which warns of deprecated keys."""
        at = config._global_config
        for part in key.split('.'):
            at = at[part]
        return at

    @staticmethod
    def give(value):
        import pandas

        for key in PandasOptions.take() or ():
            if key not in value:
                pandas.reset_option(key)
        for key, each in value.items():
            pandas.set_option(key, each)


@adapter('matplotlib')
class MatplotlibSettings:
    """rcParams that are data; with the inline backend also IPython's side of it."""

    # The values at the last look, and what it gave.
    seen = [None, {}]

    @staticmethod
    def take():
        matplotlib = loaded('matplotlib')
        if matplotlib is None or not hasattr(matplotlib, 'rcParams'):
            return ABSENT
        # dict's own access: asking for the backend would choose one. Lists are copied, a cell may
        # change them in place.
        values = [tuple(value) if type(value) is list else value
                  for value in dict.values(matplotlib.rcParams)]
        if values != MatplotlibSettings.seen[0]:
            settings = zip(dict.keys(matplotlib.rcParams), values)
            plain = {key: value for key, value in settings if is_plain(value)}
            MatplotlibSettings.seen = [values, plain]
        return MatplotlibSettings.seen[1]

    @staticmethod
    def give(value):
        import matplotlib

        settings = dict(value)
        backend = settings.pop('backend', None)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            for key, each in settings.items():
                if key in matplotlib.rcParams:
                    matplotlib.rcParams[key] = each
        if isinstance(backend, str) and 'inline' in backend:
            HELPER.shell.run_line_magic('matplotlib', 'inline')
        elif isinstance(backend, str):
            matplotlib.use(backend)


@adapter('torch-random')
class TorchRandom:
    @staticmethod
    def take():
        torch = loaded('torch')
        if torch is None or not hasattr(torch, 'get_rng_state'):
            return ABSENT
        devices = []
        if torch.cuda.is_initialized():
            devices = [bytes(state.numpy()) for state in torch.cuda.get_rng_state_all()]
        return (bytes(torch.get_rng_state().numpy()), devices)

    @staticmethod
    def give(value):
        import torch

        def tensor(content):
            return torch.frombuffer(bytearray(content), dtype=torch.uint8)

        torch.set_rng_state(tensor(value[0]))
        if value[1] and torch.cuda.is_available():
            if len(value[1]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([tensor(each) for each in value[1]])


@adapter('torch-options')
class TorchOptions:
    @staticmethod
    def take():
        torch = loaded('torch')
        if torch is None or not hasattr(torch, 'get_default_dtype'):
            return ABSENT
        device = torch.get_default_device() if hasattr(torch, 'get_default_device') else ''
        return (str(torch.get_default_dtype()).partition('.')[2], str(device),
                torch.is_grad_enabled())

    @staticmethod
    def give(value):
        import torch

        dtype, device, grad = value
        torch.set_default_dtype(getattr(torch, dtype))
        torch.set_grad_enabled(grad)
        # A device that this process does not have is set before the next cell that has one.
        if device and (not device.startswith('cuda') or torch.cuda.is_available()):
            torch.set_default_device(device)

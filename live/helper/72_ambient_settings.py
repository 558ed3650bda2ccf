"""Ambient adapters: random generators, settings of the standard library, of IPython."""


def loaded(name):
    """A module that the user has loaded, None when not or when it is half loaded."""
    module = sys.modules.get(name)
    spec = getattr(module, '__spec__', None)
    return None if module is None or getattr(spec, '_initializing', False) else module


@adapter('random')
class PythonRandom:
    @staticmethod
    def take():
        return sys.modules['random'].getstate() if 'random' in sys.modules else ABSENT

    @staticmethod
    def give(value):
        import random

        random.setstate(value)


@adapter('warnings')
class WarningFilters:
    @staticmethod
    def take():
        return [each for each in warnings.filters if each[2].__module__ != '__main__']

    @staticmethod
    def give(value):
        warnings.filters[:] = value
        warnings._filters_mutated() if hasattr(warnings, '_filters_mutated') else None


@adapter('logging')
class Logging:
    """Levels of all loggers; handlers that write to the streams or to a file."""

    @staticmethod
    def take():
        loggers = {}
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if isinstance(logger, logging.Logger) and Logging.is_set(logger):
                loggers[name] = Logging.state_of(logger)
        loggers[''] = Logging.state_of(logging.root)
        return {'loggers': loggers, 'disable': logging.root.manager.disable}

    @staticmethod
    def is_set(logger):
        return logger.level != 0 or logger.disabled or not logger.propagate or logger.handlers

    @staticmethod
    def state_of(logger):
        handlers = [Logging.handler_state(handler) for handler in logger.handlers]
        return (logger.level, logger.disabled, logger.propagate,
                [handler for handler in handlers if handler is not None])

    @staticmethod
    def handler_state(handler):
        """(kind, target, level, format, date format), None for one that cannot be carried."""
        formatter = handler.formatter
        if formatter is not None and type(formatter) is not logging.Formatter:
            return None
        shape = (formatter._fmt, formatter.datefmt) if formatter is not None else None
        if type(handler) is logging.FileHandler:
            return ('file', handler.baseFilename, handler.level, shape)
        if type(handler) is logging.StreamHandler:
            for name in ('stdout', 'stderr'):
                if handler.stream is getattr(sys, name):
                    return ('stream', name, handler.level, shape)
        return None

    @staticmethod
    def give(value):
        logging.disable(value['disable'])
        for name, state in value['loggers'].items():
            logger = logging.getLogger(name) if name else logging.root
            logger.setLevel(state[0])
            logger.disabled, logger.propagate = state[1], state[2]
            have = [Logging.handler_state(handler) for handler in logger.handlers]
            for handler in state[3]:
                if handler not in have:
                    logger.addHandler(Logging.handler_of(*handler))

    @staticmethod
    def handler_of(kind, target, level, shape):
        if kind == 'file':
            handler = logging.FileHandler(target, delay=True)
        else:
            handler = logging.StreamHandler(REAL_STREAMS[target])
        handler.setLevel(level)
        if shape is not None:
            handler.setFormatter(logging.Formatter(*shape))
        return handler


# While state is applied sys.stdout is a sink; handlers shall write to what it is otherwise.
REAL_STREAMS = {'stdout': sys.stdout, 'stderr': sys.stderr}


@adapter('autoreload')
class Autoreload:
    """The mode of %autoreload, once its extension is loaded."""

    @staticmethod
    def reloader():
        return getattr(HELPER.shell.magics_manager.registry.get('AutoreloadMagics'), '_reloader',
                       None)

    @staticmethod
    def take():
        reloader = Autoreload.reloader()
        return ABSENT if reloader is None else (reloader.enabled, reloader.check_all)

    @staticmethod
    def give(value):
        reloader = Autoreload.reloader()
        if reloader is not None:
            reloader.enabled, reloader.check_all = value


SHELL_OPTIONS = ('ast_node_interactivity', 'automagic', 'autocall')


@adapter('shell')
class ShellSettings:
    """Options of IPython that cells set with magics."""

    @staticmethod
    def take():
        shell = HELPER.shell
        values = {name: getattr(shell, name) for name in SHELL_OPTIONS}
        values['xmode'] = shell.InteractiveTB.mode
        values['precision'] = shell.display_formatter.formatters['text/plain'].float_precision
        return values

    @staticmethod
    def give(value):
        shell = HELPER.shell
        for name in SHELL_OPTIONS:
            setattr(shell, name, value[name])
        shell.InteractiveTB.set_mode(mode=value['xmode'])
        shell.display_formatter.formatters['text/plain'].float_precision = value['precision']

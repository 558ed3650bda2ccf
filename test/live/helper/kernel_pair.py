"""Two real kernels with the helper inside: cells run on one, their records go to the other.

Run by the interpreter whose ipykernel is under test: `python3 kernel_pair.py SCENARIO…` prints
each scenario with what it gave. A scenario is blocks of a command, its code, `----` and the output:

  cell [silent] [stdin=TEXT] [interrupt=SECONDS]
                    runs on the executor; its record is applied on the standby
  lost              runs on the executor; its record is not applied
  check             runs on the standby, leaves no trace there
  look              the same on the executor
  collect           what changed between cells, applied; prints the names in it
  swap              the standby becomes the executor
  again             the standby's process is started again, from the table of units
  reset             the standby is brought from whatever it has to that table
  status WORD…      these fields of nbos_status of the executor
  quota BYTES       of the executor's state
  wait SECONDS
"""

import contextlib
import json
import os
import queue
import re
import shutil
import sys
import tempfile
import threading
import time

from jupyter_client.manager import KernelManager

HELPER = os.path.join(os.path.dirname(__file__), '..', '..', '..', 'live', 'helper')
KEY = '07' * 32
LIMIT_S = 120


def program():
    """All files of the helper as one text, in the order of their names."""
    names = sorted(name for name in os.listdir(HELPER) if re.match(r'\d\d_\w+\.py$', name))
    texts = []
    for name in names:
        with open(os.path.join(HELPER, name)) as file:
            texts.append(file.read())
    return '\n'.join(texts)


class Kernel:
    """One ipykernel with the helper in it."""

    def __init__(self, home, blobs, work):
        self.home = home
        self.directory = os.path.join(home, 'k')
        self.blobs = blobs
        self.work = work
        os.makedirs(self.directory)
        env = dict(os.environ, PYTHONHASHSEED='7',  IPYTHONDIR=os.path.join(home, 'ipython'))
        self.manager = KernelManager(kernel_name='python3', transport='ipc',
                                     ip=os.path.join(home, 'z'))
        self.manager.kernel_spec_manager.ensure_native_kernel = True
        self.manager.start_kernel(env=env, cwd=work)
        self.client = self.manager.client()
        self.client.start_channels()

    def ready(self):
        """Waits until it answers, then puts the helper in."""
        self.client.wait_for_ready(timeout=LIMIT_S)
        code = 'exec(compile(%r, "<nbos>", "exec"), {"__name__": "nbos_helper"})' % program()
        reply = self.execute(code, silent=True, store_history=False)[0]
        assert reply['status'] == 'ok', '\n'.join(reply['traceback'])
        self.setup = self.set_up()
        return self

    def set_up(self, quota_bytes=0):
        return self.ask('nbos_setup_request', {
            'key': KEY, 'directory': self.directory, 'blobs': self.blobs, 'cwd': self.work,
            'env': {}, 'hashSeed': 7, 'orphanMs': 0, 'quotaBytes': quota_bytes, 'excluded': [],
        })

    def ask(self, kind, content, channel='shell'):
        """The answer of one of the helper's handlers."""
        message = self.client.session.msg(kind, content)
        getattr(self.client, channel + '_channel').send(message)
        answer = self.answer(message, channel)
        if answer['status'] != 'ok':
            raise RuntimeError('%s: %s: %s' % (kind, answer['ename'], answer['evalue']))
        return answer

    def answer(self, message, channel):
        receive = getattr(self.client, 'get_%s_msg' % channel)
        while True:
            reply = receive(timeout=LIMIT_S)
            if reply['parent_header'].get('msg_id') == message['header']['msg_id']:
                return reply['content']

    def execute(self, code, nbos=None, stdin=None, **options):
        """(content of the reply, iopub messages) of one execute_request."""
        content = {'code': code, 'silent': False, 'store_history': True, 'user_expressions': {},
                   'allow_stdin': stdin is not None, 'stop_on_error': False}
        content.update(options)
        message = self.client.session.msg('execute_request', content)
        if nbos is not None:
            message['metadata'] = {'nbos': nbos}
        self.client.shell_channel.send(message)
        shown = []
        while True:
            if stdin is not None:
                with contextlib.suppress(queue.Empty):
                    self.client.get_stdin_msg(timeout=0.01)
                    self.client.input(stdin)
            try:
                output = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            if output['parent_header'].get('msg_id') != message['header']['msg_id']:
                continue
            shown.append(output)
            if output['content'].get('execution_state') == 'idle':
                break
        reply = self.answer(message, 'shell')
        # One of small size comes with the reply; here all are files.
        text = reply.pop('nbos_record', None)
        if text is not None:
            with open(os.path.join(self.directory, 'spool', nbos['record'] + '.json'), 'w') as file:
                os.chmod(file.name, 0o600)
                file.write(text)
        return reply, shown

    def record(self, name):
        """A spooled record; its blob files go to the blob directory, as an agent moves them."""
        spool = os.path.join(self.directory, 'spool')
        with open(os.path.join(spool, name + '.json')) as file:
            record = json.load(file)
        os.unlink(os.path.join(spool, name + '.json'))
        for file in os.listdir(spool):
            assert not file.endswith('.part'), file
            if file.endswith('.json'):
                continue
            os.rename(os.path.join(spool, file), os.path.join(self.blobs, file))
        if record.get('error'):
            raise RuntimeError('record: ' + record['error'])
        return record

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


class Pair:
    """An executor and a standby."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix='nbos-pair-')
        blobs = os.path.join(self.home, 'blobs')
        work = os.path.join(self.home, 'work')
        os.makedirs(blobs)
        os.makedirs(work)
        self.blobs, self.work = blobs, work
        # unit id -> unit, as the log has it.
        self.table = {}
        self.kernels = [self.start('a'), self.start('b')]
        for kernel in self.kernels:
            kernel.ready()
        self.count = 0
        self.cells = 0
        self.saved = []

    def start(self, name):
        folder = os.path.join(self.home, name)
        os.makedirs(folder)
        return Kernel(folder, self.blobs, self.work)

    def run(self, command, code):
        word, *rest = command.split(' ')
        executor, standby = self.kernels
        if word in ('cell', 'lost'):
            return self.cell(code, rest, word == 'cell')
        if word in ('check', 'look'):
            kernel = standby if word == 'check' else executor
            reply, shown = kernel.execute(code, silent=False, store_history=False)
            return text_of(reply, shown)
        if word == 'collect':
            return self.collect()
        if word == 'swap':
            self.kernels.reverse()
            return ''
        if word == 'status':
            status = executor.ask('nbos_status_request', {}, 'control')
            text = '\n'.join('%s %s' % (field, json.dumps(status[field])) for field in rest)
            return re.sub(r'process \d+', 'process N', text)
        if word in ('again', 'reset'):
            return self.restore(word == 'again')
        if word == 'quota':
            executor.set_up(int(rest[0]))
            return ''
        if word == 'wait':
            time.sleep(float(rest[0]))
            return ''
        raise ValueError('unknown command: ' + command)

    def cell(self, code, words, shipped):
        silent = 'silent' in words
        self.cells += 1
        if not silent:
            self.count += 1
        options = dict(word.split('=') for word in words if '=' in word)
        nbos = {'record': 'c%d' % self.cells, 'count': self.count}
        if 'interrupt' in options:
            seconds = float(options['interrupt'])
            threading.Timer(seconds, self.kernels[0].manager.interrupt_kernel).start()
        reply, shown = self.kernels[0].execute(
            code, nbos, options.get('stdin'), silent=silent, store_history=not silent)
        for output in shown:
            if output['msg_type'] == 'nbos_saved':
                self.apply(self.kernels[0].record(output['content']['record'])['delta'])
        delta = self.kernels[0].record(nbos['record'])['delta']
        if shipped:
            self.apply(delta)
        return text_of(reply, shown)

    def collect(self):
        name = self.kernels[0].ask('nbos_collect_request', {})['record']
        if name is None:
            return 'nothing'
        delta = self.kernels[0].record(name)['delta']
        self.apply(delta)
        names = [name for unit in delta['units'] for name in unit['names'] or [unit['id']]]
        return ' '.join(sorted(names) + ['-' + unit for unit in delta['dropped']])

    def restore(self, in_new_process):
        if in_new_process:
            self.kernels[1].stop()
            shutil.rmtree(self.kernels[1].home)
            self.kernels[1] = self.start(os.path.basename(self.kernels[1].home)).ready()
        self.bring_up({'reset': True, 'units': list(self.table.values()), 'dropped': []})
        return ''

    def apply(self, delta):
        for unit in delta['units']:
            known = self.table.get(unit['id'])
            assert known is None or unit['version'] > known['version'], unit['id']
            self.table[unit['id']] = unit
        for unit in delta['dropped']:
            self.table.pop(unit, None)
        self.bring_up({'reset': False, 'units': delta['units'], 'dropped': delta['dropped']})

    def bring_up(self, update):
        result = self.kernels[1].ask('nbos_apply_request', dict(update, count=self.count))
        assert result['failed'] == [], result['failed']

    def stop(self):
        for kernel in self.kernels:
            kernel.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def text_of(reply, shown):
    """What a reader of the notebook sees: output, then the error's name."""
    text = ''
    for output in shown:
        content = output['content']
        if output['msg_type'] == 'stream':
            text += content['text']
        elif output['msg_type'] == 'execute_result':
            text += '[%d] %s\n' % (content['execution_count'], content['data']['text/plain'])
    if reply['status'] == 'error':
        # What a syntax error says depends on the version of Python.
        says = '' if reply['ename'] == 'SyntaxError' else ': ' + reply['evalue']
        text += (reply['ename'] + says).rstrip(': ')
    text = re.sub(r'^(CPU times|Wall time).*\n', '', text, flags=re.M)
    # A blank line ends a block of a scenario.
    return re.sub(r'\n\s*\n', '\n', text).rstrip('\n')


def run_scenario(path):
    """The scenario's text with the outputs it gave."""
    with open(path) as file:
        blocks = file.read().strip().split('\n\n')
    pair = Pair()
    done = []
    try:
        for block in blocks:
            if all(line.startswith('#') for line in block.split('\n')):
                done.append(block)
                continue
            head = re.split(r'\n----(?:\n|$)', block)[0]
            command, _, code = head.partition('\n')
            done.append((head + '\n----\n' + (pair.run(command, code) or 'nothing')).rstrip())
    finally:
        pair.stop()
    return '\n\n'.join(done) + '\n'


if __name__ == '__main__':
    for scenario in sys.argv[1:]:
        sys.stdout.write(run_scenario(scenario))

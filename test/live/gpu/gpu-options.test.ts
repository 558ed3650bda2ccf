import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { STANDARD_DOCKER } from '../../../live/commands/docker-flags.ts';
import { describedGpus, gpusOf, sharedDevices } from '../../../live/commands/gpu-options.ts';
import type { Arguments } from '../../../traces/command-line.ts';
import { refusal } from './refusal.ts';

const log = pino({ level: 'silent' });

function given(options: Record<string, unknown>): Arguments {
  return { _: [], $0: 'nbos', ...options } as Arguments;
}

test('hosts on one machine share the devices that are named', async () => {
  const devices = ['/dev/zero', '/dev/full', '/dev/null'];
  assert.equal(await sharedDevices(given({ 'gpu-device': devices }), 2), [
    ['/dev/zero'],
    ['/dev/full', '/dev/null'],
  ]);
  const four = await sharedDevices(given({ 'gpu-device': devices }), 4);
  assert.equal(four, [[], ['/dev/zero'], ['/dev/full'], ['/dev/null']]);
  assert.is(await sharedDevices(given({ 'gpus-per-host': 2 }), 4), undefined);
  const both = sharedDevices(given({ 'gpu-device': devices, 'gpus-per-host': 2 }), 4);
  assert.match(await refusal(both), /usage: --gpu-device and --gpus-per-host/);
});

test('a host has its devices, so many pretend ones, or none of an engine elsewhere', async () => {
  const named = await gpusOf(describedGpus(given({ 'gpu-device': '/dev/zero' })), undefined, log);
  assert.is(named.capacity.gpus, 1);
  assert.equal(named.gpuAccess?.creation().devices, ['/dev/zero']);
  const counted = await gpusOf(describedGpus(given({ 'gpus-per-host': 3 })), undefined, log);
  assert.is(counted.capacity.gpus, 3);
  assert.is(counted.gpuAccess, undefined);

  const docker = { ...STANDARD_DOCKER, engine: 'tcp://10.0.0.9:2375' };
  const elsewhere = await gpusOf(describedGpus(given({})), docker, log);
  assert.is(elsewhere.capacity.gpus, 0);
  const wrong = gpusOf({ devices: ['/dev/zero'], count: undefined }, docker, log);
  assert.match(await refusal(wrong), /usage: --gpu-device: .* engine at tcp:\/\/10\.0\.0\.9:2375/);
});

test.run();

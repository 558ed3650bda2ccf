import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NbosError } from '../../../core/errors.ts';

/** A GPU as the driver tells of it. */
export interface NvidiaGpu {
  /** in the order of the bus, which CUDA follows with CUDA_DEVICE_ORDER=PCI_BUS_ID */
  readonly index: number;
  readonly uuid: string;
  /** MB, 0 where the driver does not say */
  readonly memoryMb: number;
  readonly name: string;
  /** /dev/nvidiaN */
  readonly path: string;
}

/** Where the driver is asked; tests put a program of theirs in its place. */
export interface NvidiaPlaces {
  readonly program: string;
  /** ms for one answer: a card that has failed can hold the driver for long */
  readonly limitMs: number;
  /** the driver's folder with one of each card */
  readonly cards: string;
  /** folders of the Container Device Interface */
  readonly cdi: readonly string[];
}

export const NVIDIA_PLACES: NvidiaPlaces = {
  program: 'nvidia-smi',
  limitMs: 10_000,
  cards: '/proc/driver/nvidia/gpus',
  cdi: ['/etc/cdi', '/var/run/cdi'],
};

const FORMAT = '--format=csv,noheader,nounits';
const MOST_OUTPUT_BYTES = 1_048_576;

/**
 * The NVIDIA GPUs of this host, none where there is no driver.
 * @throws NbosError gpu-unusable when there is one that does not answer
 */
export async function nvidiaGpus(places = NVIDIA_PLACES): Promise<NvidiaGpu[]> {
  const fields = '--query-gpu=index,uuid,pci.bus_id,memory.total,name';
  const answer = await ask(places, [fields, FORMAT]);
  if (answer === undefined) return [];
  const gpus = await Promise.all(
    linesOf(answer).map(async (line) => {
      const [index, uuid, bus, memory, ...name] = line.split(',').map((field) => field.trim());
      if (!/^\d+$/.test(index ?? '') || !/^GPU-[\w-]+$/.test(uuid ?? ''))
        throw unusable(places, `it answered "${line.slice(0, 80)}"`);
      const minor = await minorOf(places, bus ?? '', index!);
      return {
        index: Number(index),
        uuid: uuid!,
        memoryMb: Number(memory) || 0,
        name: name.join(', '),
        path: `/dev/nvidia${minor}`,
      };
    }),
  );
  return gpus.sort((a, b) => a.index - b.index);
}

/** Which GPUs each process uses, by uuid; processes of this host's numbering. */
export async function nvidiaUsers(places = NVIDIA_PLACES): Promise<Map<number, string[]>> {
  const answer = await ask(places, ['--query-compute-apps=pid,gpu_uuid', FORMAT]);
  const users = new Map<number, string[]>();
  for (const line of linesOf(answer ?? '')) {
    const [pid, uuid] = line.split(',').map((field) => field.trim());
    if (!/^\d+$/.test(pid ?? '') || uuid === undefined) continue;
    users.set(Number(pid), [...(users.get(Number(pid)) ?? []), uuid]);
  }
  return users;
}

/** Whether an engine can be told of the GPUs by their CDI names. */
export async function hasCdi(places = NVIDIA_PLACES): Promise<boolean> {
  const folders = places.cdi.map((folder) => readdir(folder).catch(() => [] as string[]));
  const names = (await Promise.all(folders)).flat();
  return names.some((name) => /nvidia.*\.(ya?ml|json)$/.test(name));
}

/** The number in /dev/nvidiaN is not always the index. */
async function minorOf({ cards }: NvidiaPlaces, bus: string, index: string): Promise<string> {
  const folder = bus.toLowerCase().replace(/^0000(?=[0-9a-f]{4}:)/, '');
  if (!/^[0-9a-f:.]+$/.test(folder)) return index;
  const text = await readFile(join(cards, folder, 'information'), 'utf8').catch(() => '');
  return /^Device Minor:\s*(\d+)\s*$/m.exec(text)?.[1] ?? index;
}

/** Undefined when there is no such program: the host has no driver. */
function ask(places: NvidiaPlaces, args: readonly string[]): Promise<string | undefined> {
  const { program, limitMs } = places;
  const options = {
    timeout: limitMs,
    killSignal: 'SIGKILL',
    maxBuffer: MOST_OUTPUT_BYTES,
  } as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else if (error.code === ('ENOENT' as never)) resolve(undefined);
      else if (error.killed) reject(unusable(places, `it did not answer within ${limitMs} ms`));
      else {
        const said = (stdout.trim() || stderr.trim() || error.message).split('\n')[0] ?? '';
        reject(unusable(places, `it ended with "${said.slice(0, 200)}"`));
      }
    });
  });
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function unusable({ program }: NvidiaPlaces, reason: string): NbosError {
  return new NbosError(
    'gpu-unusable',
    `the NVIDIA driver of this host: ${program}: ${reason}`,
    'Run `nvidia-smi` by hand, or leave its GPUs out with --gpus-per-host 0.',
  );
}

import { hasCdi, nvidiaGpus } from '../../agent/gpu/nvidia.ts';
import { type Check, ok, problem, type Told } from '../finding.ts';
import { infoOf } from './engine.ts';

/** GPUs of this machine, and whether containers can be given them. */
export const GPUS: Check = {
  name: 'gpus',
  after: 'engine',
  applies: () => true,
  async look({ engine }) {
    const gpus = await nvidiaGpus();
    if (gpus.length === 0)
      return [ok('no NVIDIA GPU and driver here: a host can declare pretend GPUs')];
    const names = [...new Set(gpus.map(({ name }) => name))].join(', ');
    const found = `${gpus.length} NVIDIA GPUs (${names})`;
    if (engine === undefined) return [ok(found)];
    return [await reachTold(found, Object.keys((await infoOf(engine)).Runtimes ?? {}))];
  },
};

async function reachTold(found: string, runtimes: readonly string[]): Promise<Told> {
  if (await hasCdi()) return ok(`${found}, given to containers by CDI`);
  if (runtimes.includes('nvidia')) return ok(`${found}, given to containers by runtime nvidia`);
  return problem(
    `${found}, which the engine cannot give to containers`,
    'Install nvidia-container-toolkit, then: sudo nvidia-ctk runtime configure --runtime=docker ' +
      '&& sudo systemctl restart docker.',
  );
}

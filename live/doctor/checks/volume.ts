import { statusOf } from '../../agent/container/engine.ts';
import { type Check, ok, problem, warning } from '../finding.ts';
import type { Subject } from '../subject.ts';

function nameOf({ docker }: Subject): string {
  return /^volume:(.+)$/.exec(docker?.mount ?? '')?.[1] ?? '';
}

/** A workspace that is a named volume of the engine. */
export const VOLUME: Check = {
  name: 'volume',
  after: 'engine',
  applies: (subject) => nameOf(subject) !== '',
  async look(subject) {
    const name = nameOf(subject);
    const create = `docker volume create --driver local --opt type=nfs --opt o=addr=SERVER,rw`;
    const advice = `Create it on each host, as in: ${create} --opt device=:/PATH ${name}`;
    try {
      const volume = await subject.engine!.ask(`volume ${name}`, (docker) =>
        docker.getVolume(name).inspect(),
      );
      const { device = '', type = '' } = volume.Options ?? {};
      const found = `volume ${name} (driver ${volume.Driver})`;
      if (device !== '')
        return [ok(`${found} is ${device}${type === '' || type === 'none' ? '' : ` by ${type}`}`)];
      if (volume.Driver !== 'local' || subject.join === '') return [ok(found)];
      return [
        warning(`${found} is on a disk of this machine, which other hosts do not see`, advice),
      ];
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
      return [
        problem(
          `there is no volume ${name}: the engine would make an empty one of its own`,
          advice,
        ),
      ];
    }
  },
};

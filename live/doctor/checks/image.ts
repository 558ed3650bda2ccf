import { runProbe } from '../container-probe.ts';
import { diagnoseExit } from '../exit-diagnosis.ts';
import { type Check, ok, problem, type Told } from '../finding.ts';
import { lackIn, type Probed, probedIn, probeTold } from '../python-probe.ts';
import { hasSeccomp, infoOf } from './engine.ts';

/** What is in the image, as a kernel in a container would find it. */
export const IMAGE: Check = {
  name: 'image',
  // A container with a volume that is not there would make it.
  after: ['engine', 'volume'],
  applies: ({ docker }) => docker !== undefined,
  async look(subject) {
    const { workspace } = subject;
    const [engine, docker] = [subject.engine!, subject.docker!];
    const { image } = docker;
    await engine.ask('the image', (at) => at.getImage(image).inspect(), { image });
    const seccomp = hasSeccomp(await infoOf(engine));
    const run = await runProbe({ engine, docker, workspace, seccomp });
    if (run.code !== 0) {
      const { cause, advice } = diagnoseExit(run);
      const words = run.words === '' ? '' : `; its last words: ${run.words}`;
      return [problem(`a container of ${image} ended: ${cause}${words}`, advice)];
    }
    const probed = probedIn(run.output, `image ${image}`);
    const lack = lackIn(probed, image);
    if (lack !== undefined) return [lack];
    const { python, ipykernel, libc } = probed;
    const found = ok(`${image}: Python ${python}, ipykernel ${ipykernel}, ${libc}`);
    return [found, ...socketTold(probed, run.socketSeen), ...probeTold(probed)];
  },
};

/** Kernels and agent meet at sockets in a folder that both see. */
function socketTold({ socket }: Probed, socketSeen: boolean): Told[] {
  if (socket !== '')
    return [
      problem(
        `a container cannot make its sockets in the folder for them: ${socket}`,
        'Put XDG_RUNTIME_DIR or TMPDIR on a disk of this machine.',
      ),
    ];
  if (socketSeen) return [];
  return [
    problem(
      'sockets of containers are not seen here: the engine is on another machine',
      "Run the agent on the engine's machine.",
    ),
  ];
}

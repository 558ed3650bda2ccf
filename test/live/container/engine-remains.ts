import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Folders of engines begin so; what follows names everything else that belongs to them. */
const PREFIX = 'nbos-engines-';
const CGROUPS = '/sys/fs/cgroup';
const OWNER = 'owner';
const PATIENCE_MS = 5_000;

/** Where the engines of one run keep everything. */
export function folderOf(mark: string): string {
  return join(tmpdir(), `${PREFIX}${mark}`);
}

/** The network namespaces of a run, and its control group, begin so. */
export function nameOf(mark: string, part: string): string {
  return `nbos-${mark}-${part}`;
}

/** This machine's end of the cable to the machines of a run. */
export function plugOf(mark: string): string {
  return `nb${mark}`;
}

/** Writes down whose engines these are, so that a later run can tell what was left behind. */
export function claim(mark: string): void {
  writeFileSync(join(folderOf(mark), OWNER), `${process.pid} ${bornAt(process.pid)}`);
}

/** Removes what test runs that are gone have left: a killed test cannot clean up. */
export function sweepRemains(): void {
  for (const entry of readdirSync(tmpdir())) {
    if (!entry.startsWith(PREFIX)) continue;
    const mark = entry.slice(PREFIX.length);
    const file = join(folderOf(mark), OWNER);
    const [pid, born] = existsSync(file) ? readFileSync(file, 'utf8').split(' ') : [];
    if (pid !== undefined && bornAt(Number(pid)) === born) continue;
    // A folder without an owner may be a moment old.
    if (pid === undefined && Date.now() - statSync(folderOf(mark)).mtimeMs < 60_000) continue;
    removeAll(mark);
  }
}

/** Ends and removes everything of a run: processes, control groups, mounts, namespaces, files. */
export function removeAll(mark: string): void {
  const folder = folderOf(mark);
  const spaces = namespacesOf(mark);
  const parts = new Set(spaces.map((name) => name.slice(nameOf(mark, '').length)));
  if (existsSync(folder)) for (const part of readdirSync(folder)) parts.add(part);
  for (const name of spaces) killAll(pidsIn(name));
  for (const part of parts) endContainers(mark, part);
  // Before the namespaces: what is in those goes later than they do.
  spawnSync('ip', ['link', 'delete', plugOf(mark)]);
  for (const name of namespacesOf(mark)) spawnSync('ip', ['netns', 'delete', name]);
  unmountBelow(folder);
  // Of ten thousands of files: Node's own way takes ten times as long.
  execFileSync('rm', ['-rf', folder]);
}

/** What is still there of a run, in words; nothing after a good end. */
export function remainsOf(mark: string): string[] {
  const folder = folderOf(mark);
  return [
    ...(existsSync(folder) ? [folder] : []),
    ...namespacesOf(mark).map((name) => `namespace ${name}`),
    ...(existsSync(`/sys/class/net/${plugOf(mark)}`) ? [`link ${plugOf(mark)}`] : []),
    ...mountsBelow(folder).map((path) => `mount ${path}`),
    ...controlGroups(nameOf(mark, '')),
    ...processesNaming(folder).map((pid) => `process ${pid}`),
  ];
}

/**
 * Kills all that runs in the containers of one engine, and what watches over them, as a loss of
 * power would. A frozen process of the older control groups dies only once it is thawed.
 */
export function endContainers(mark: string, part: string): void {
  const groups = controlGroups(nameOf(mark, part));
  const home = join(folderOf(mark), part);
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const inside = groups.flatMap((group) => below(group).flatMap(membersOf));
    const pids = [...new Set([...inside, ...processesNaming(home)])];
    if (pids.length === 0 || Date.now() > end) break;
    for (const group of groups.flatMap(below)) thaw(group);
    killAll(pids);
  }
  for (const group of groups.flatMap(below)) attempt(() => rmdirSync(group));
}

/** The processes in a network namespace. */
export function pidsIn(namespace: string): number[] {
  const { stdout } = spawnSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  return (stdout ?? '').split('\n').filter(Boolean).map(Number);
}

/** Kills processes and waits until they are gone. */
export function killAll(pids: readonly number[]): void {
  for (const pid of pids) if (pid > 1) attempt(() => process.kill(pid, 'SIGKILL'));
  const end = Date.now() + PATIENCE_MS;
  while (pids.some(runs) && Date.now() < end) pause(5);
}

/** Unmounts what lies below a folder, the innermost first. */
export function unmountBelow(folder: string): void {
  for (const path of mountsBelow(folder)) spawnSync('umount', ['--lazy', path]);
}

function mountsBelow(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

function namespacesOf(mark: string): string[] {
  return execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split(' ')[0]!)
    .filter((name) => name.startsWith(nameOf(mark, '')));
}

/** Control groups whose name begins so, in each hierarchy or in the only one. */
function controlGroups(beginning: string): string[] {
  const roots = existsSync(join(CGROUPS, 'cgroup.controllers'))
    ? [CGROUPS]
    : readdirSync(CGROUPS).map((name) => join(CGROUPS, name));
  return roots.flatMap((root) =>
    readdirSync(root)
      .filter((name) => name.startsWith(beginning))
      .map((name) => join(root, name)),
  );
}

/** A control group and those within it, the innermost first. */
function below(group: string): string[] {
  if (!existsSync(group)) return [];
  const inner = readdirSync(group, { withFileTypes: true }).filter((each) => each.isDirectory());
  return [...inner.flatMap((each) => below(join(group, each.name))), group];
}

function membersOf(group: string): number[] {
  let text = '';
  attempt(() => {
    text = readFileSync(join(group, 'cgroup.procs'), 'utf8');
  });
  return text.split('\n').filter(Boolean).map(Number);
}

function thaw(group: string): void {
  const file = join(group, 'freezer.state');
  if (existsSync(file)) attempt(() => writeFileSync(file, 'THAWED'));
}

/** Processes whose command line names a path in a folder, such as the watchers of containers. */
function processesNaming(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      let words = '';
      attempt(() => {
        words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      });
      return words.includes(`${folder}/`);
    })
    .map(Number);
}

/** Since when a process runs, in ticks of the machine: tells it from a later one of its number. */
function bornAt(pid: number): string {
  let text = '';
  attempt(() => {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  });
  return text.slice(text.lastIndexOf(')')).split(' ')[20] ?? '';
}

/** Whether a process still does anything: one that only waits for its parent to look does not. */
export function runs(pid: number): boolean {
  let text = '';
  attempt(() => {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  });
  return text !== '' && text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3) !== 'Z';
}

/** What others end at the same moment is as good as ended. */
function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!['ESRCH', 'ENOENT', 'EBUSY', 'ENODEV', 'EINVAL'].includes(codeOf(error))) throw error;
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** The image that `nbos image build` makes. */
export const DEFAULT_IMAGE = 'notebookos/kernel:1';

/** What it starts; any image with ipykernel for its `python3` will do. */
export const KERNEL_ARGV: readonly string[] = [
  'python3',
  '-m',
  'ipykernel_launcher',
  '-f',
  '{connection_file}',
];

/** Labels by which what we made in an engine is found again, after any restart. */
export const LABELS = {
  system: 'org.notebookos.system',
  host: 'org.notebookos.host',
  kind: 'org.notebookos.kind',
  directory: 'org.notebookos.directory',
} as const;

/** What a container of ours is for. */
export type ContainerKind = 'kernel' | 'pooled' | 'probe';

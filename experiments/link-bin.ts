import { chmodSync, existsSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

// npm links the commands of dependencies but not those of the package itself, so without this
// `npx nbos` in a checkout would look the name up in the registry.
const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'node_modules', '.bin');
const program = join(root, 'dist', 'cli.js');

if (existsSync(folder) && existsSync(program)) {
  const link = join(folder, 'nbos');
  rmSync(link, { force: true });
  symlinkSync(join('..', '..', 'dist', 'cli.js'), link);
  chmodSync(program, 0o755);
}

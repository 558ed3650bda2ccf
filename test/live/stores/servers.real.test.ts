// time-limit: 600 s
import { test } from 'uvu';
import { openStore } from '../../../live/stores/open-store.ts';
import { storeContract } from './contract.ts';
import {
  missingHdfs,
  missingMoto,
  missingRedis,
  type Server,
  startHdfs,
  startMoto,
  startRedis,
} from './servers.ts';

const started = new Map<string, Promise<Server>>();
let made = 0;

/** One server of a kind for all tests of this file. */
function server(kind: string, start: () => Promise<Server>): Promise<Server> {
  const known = started.get(kind) ?? start();
  started.set(kind, known);
  return known;
}

test.after(async () => {
  for (const each of started.values())
    await each.then(
      (known) => known.stop(),
      () => undefined,
    );
});

const AWS = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };

storeContract(test, {
  name: 's3',
  missing: missingMoto,
  open: async () => {
    const { port } = await server('moto', startMoto);
    Object.assign(process.env, AWS);
    const endpoint = `http://127.0.0.1:${port}`;
    const bucket = `bucket-${++made}`;
    await fetch(`${endpoint}/${bucket}`, { method: 'PUT' });
    return openStore(`s3://${bucket}/some/prefix?endpoint=${endpoint}`);
  },
});

storeContract(test, {
  name: 'redis',
  missing: missingRedis,
  open: async () => {
    const { port } = await server('redis', startRedis);
    return openStore(`redis://127.0.0.1:${port}/0/of-${++made}`);
  },
});

storeContract(test, {
  name: 'webhdfs',
  missing: missingHdfs,
  open: async () => {
    const { port } = await server('hdfs', startHdfs);
    return openStore(`webhdfs://127.0.0.1:${port}/store/of-${++made}`);
  },
});

test.run();

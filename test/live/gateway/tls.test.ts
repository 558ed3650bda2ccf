import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { WebSocket } from 'ws';
import { testWithPart } from '../../skip.ts';
import { served } from './http-server.ts';

const MISSING = spawnSync('openssl', ['version']).status === 0 ? '' : 'openssl is not installed';

/** A certificate for 127.0.0.1 that nobody else knows. */
async function selfSigned(folder: string): Promise<{ cert: string; key: string }> {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1'],
  ]);
  assert.is(made.status, 0, String(made.stderr));
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}

testWithPart(test, MISSING, 'with a certificate it serves beyond the loopback', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nbos-tls-'));
  const tls = await selfSigned(folder);
  const http = await served({ host: '0.0.0.0', tls });
  const { port } = http.server;
  assert.match(http.server.url, /^https:/);
  const answer = (path: string, method: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `token ${http.token}` };
      const asked = { host: '127.0.0.1', port, path, method, headers, ca: tls.cert };
      request(asked, (response) => {
        let text = '';
        response.on('data', (data) => (text += data));
        response.on('end', () => resolve({ status: response.statusCode!, text }));
      })
        .on('error', reject)
        .end();
    });
  const made = await answer('/api/kernels', 'POST');
  assert.is(made.status, 201);
  const { id } = JSON.parse(made.text);
  const url = `wss://127.0.0.1:${port}/api/kernels/${id}/channels?token=${http.token}`;
  const ws = new WebSocket(url, { ca: tls.cert });
  await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
  const closed = new Promise((resolve) => ws.once('close', resolve));
  await http.server.close(true);
  assert.is(await closed, 1012);
  await http.stop();
  await rm(folder, { recursive: true });
});

testWithPart(test, MISSING, 'plain HTTP to a TLS port is garbage', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nbos-tls-'));
  const http = await served({ tls: await selfSigned(folder) });
  const plain = http.server.url.replace('https', 'http');
  assert.is(
    await fetch(`${plain}/api`).then(
      () => 'answered',
      () => 'refused',
    ),
    'refused',
  );
  assert.match(await http.registry.metrics(), /nbos_http_refused_total\{why="garbage"\} 1/);
  await http.stop();
  await rm(folder, { recursive: true });
});

test.run();

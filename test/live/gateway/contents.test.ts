import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Served, served } from './http-server.ts';

let http: Served;
test.before.each(async () => {
  http = await served({ limits: { contentsBytes: 100_000 } });
});
test.after.each(() => http.stop());

const at = (name: string): string => join(http.folder, name);
const get = (path: string) => http.ask(`/api/contents/${path}`);
const put = (path: string, json: unknown) =>
  http.ask(`/api/contents/${path}`, { method: 'PUT', json });

test('folders are listed without hidden files', async () => {
  await mkdir(at('sub'));
  await writeFile(at('b.txt'), 'text');
  await writeFile(at('a.ipynb'), '{"cells":[]}');
  await writeFile(at('.hidden'), 'x');
  const root = await (await http.ask('/api/contents')).json();
  assert.is(root.type, 'directory');
  assert.equal(
    root.content.map(({ name, type }: { name: string; type: string }) => [name, type]),
    [
      ['a.ipynb', 'notebook'],
      ['b.txt', 'file'],
      ['sub', 'directory'],
    ],
  );
  assert.is(root.content[0].content, null);
  assert.match(root.content[0].last_modified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  const bare = await (await get('?content=0')).json();
  assert.is(bare.content, null);
  assert.is((await get('sub/')).status, 200);
});

test('files are read as notebook, text or base64', async () => {
  await writeFile(at('a.ipynb'), '{"cells":[],"nbformat":4}');
  await writeFile(at('x.bin'), Buffer.from([0xff, 0xfe]));
  const notebook = await (await get('a.ipynb')).json();
  assert.equal(notebook.content, { cells: [], nbformat: 4 });
  assert.is(notebook.format, 'json');
  const text = await (await get('a.ipynb?type=file')).json();
  assert.is(text.format, 'text');
  const binary = await (await get('x.bin')).json();
  assert.equal([binary.format, binary.content], ['base64', '//4=']);
  assert.is((await get('x.bin?format=text')).status, 400);
  assert.is((await get('x.bin?type=notebook')).status, 400);
  assert.is((await get('x.bin?type=directory')).status, 400);
  assert.is((await get('?type=file')).status, 400);
  assert.is((await get('x.bin?type=planet')).status, 400);
  assert.is((await get('none')).status, 404);
  await writeFile(at('large'), 'x'.repeat(200_000));
  assert.is((await get('large')).status, 413);
});

test('files are saved whole, notebooks as Jupyter writes them', async () => {
  const content = { nbformat: 4, cells: [], metadata: { b: 1, a: 2 } };
  const made = await put('n.ipynb', { type: 'notebook', format: 'json', content });
  assert.is(made.status, 201);
  assert.is(
    await readFile(at('n.ipynb'), 'utf8'),
    '{\n "cells": [],\n "metadata": {\n  "a": 2,\n  "b": 1\n },\n "nbformat": 4\n}\n',
  );
  const again = await put('n.ipynb', { type: 'notebook', format: 'json', content });
  assert.is(again.status, 200);
  assert.is((await put('d', { type: 'directory' })).status, 201);
  const text = { type: 'file', format: 'text', content: 'é' };
  assert.is((await put('d/e%20f.txt', text)).status, 201);
  assert.is(await readFile(at('d/e f.txt'), 'utf8'), 'é');
  await put('d/b', { type: 'file', format: 'base64', content: '//4=' });
  assert.equal(await readFile(at('d/b')), Buffer.from([0xff, 0xfe]));
  assert.is((await put('none/x', text)).status, 404);
  assert.is((await put('d', text)).status, 400);
  assert.is((await put('x', { type: 'file', content: 'a' })).status, 400);
  assert.is((await put('x', { type: 'file', format: 'text', content: 7 })).status, 400);
  assert.is((await put('x', { ...text, chunk: 1 })).status, 400);
  assert.is((await put('x', { ...text, content: 'x'.repeat(200_000) })).status, 413);
  assert.equal((await readdir(http.folder)).sort(), ['d', 'n.ipynb']);
});

test('new files get unused names; they are renamed, copied and deleted', async () => {
  const post = async (folder: string, json: unknown) =>
    (await (await http.ask(`/api/contents/${folder}`, { method: 'POST', json })).json()).path;
  assert.is(await post('', { type: 'notebook' }), 'Untitled.ipynb');
  assert.is(await post('', { type: 'notebook' }), 'Untitled1.ipynb');
  assert.is(await post('', { type: 'directory' }), 'Untitled Folder');
  assert.is(await post('Untitled%20Folder', { ext: '.py' }), 'Untitled Folder/untitled.py');
  const copied = await post('', { copy_from: 'Untitled.ipynb' });
  assert.is(copied, 'Untitled-Copy.ipynb');
  const patch = async (from: string, path: string) =>
    (await http.ask(`/api/contents/${from}`, { method: 'PATCH', json: { path } })).status;
  assert.is(await patch('Untitled1.ipynb', 'b.ipynb'), 200);
  assert.is(await patch('b.ipynb', 'Untitled.ipynb'), 409);
  assert.is(await patch('b.ipynb', '../b.ipynb'), 404);
  const remove = async (path: string) =>
    (await http.ask(`/api/contents/${path}`, { method: 'DELETE' })).status;
  assert.is(await remove('b.ipynb'), 204);
  assert.is(await remove('b.ipynb'), 404);
  assert.is(await remove('Untitled%20Folder'), 400);
  assert.is(await remove(''), 400);
  const saved = await http.ask('/api/contents/Untitled.ipynb/checkpoints', { method: 'POST' });
  assert.is(saved.status, 201);
  assert.equal(await (await get('Untitled.ipynb/checkpoints')).json(), []);
});

test('nothing outside the workspace is reached', async () => {
  await writeFile(join(http.folder, '..', 'secret'), 'secret');
  await symlink(join(http.folder, '..', 'secret'), at('link'));
  await symlink(join(http.folder, '..'), at('up'));
  await symlink(join(http.folder, '..', 'new'), at('dangling'));
  await mkdir(at('inside'));
  await symlink(at('inside'), at('within'));
  const outside = [
    '..%2fsecret',
    '..%2f..%2fetc%2fpasswd',
    'inside%2f..%2f..%2fsecret',
    '%2e%2e%2fsecret',
    '%2Fetc%2Fpasswd',
    'link',
    'up',
    'up/secret',
    '.hidden',
    'a%00b',
    '..%5csecret',
  ];
  const file = { type: 'file', format: 'text', content: 'overwritten' };
  for (const path of outside) {
    assert.is((await get(path)).status, 404, path);
    if (path === '%2Fetc%2Fpasswd') continue;
    assert.is((await put(path, file)).status, 404, path);
    assert.is((await http.ask(`/api/contents/${path}`, { method: 'DELETE' })).status, 404, path);
  }
  assert.is((await put('dangling', file)).status, 404);
  assert.is((await put('up/new', file)).status, 404);
  const copy = { method: 'POST', json: { copy_from: '../secret' } };
  assert.is((await http.ask('/api/contents', copy)).status, 404);
  assert.is(await readFile(join(http.folder, '..', 'secret'), 'utf8'), 'secret');
  assert.equal((await readdir(join(http.folder, '..'))).sort(), ['keys', 'secret', 'work']);
  assert.is((await put('within/x', file)).status, 201);
  const { content } = await (await http.ask('/api/contents')).json();
  assert.equal(
    content.map(({ name }: { name: string }) => name),
    ['inside', 'within'],
  );
});

test('paths that a browser would have straightened are refused as they come', async () => {
  const raw = (path: string): Promise<string> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect(http.server.port, '127.0.0.1', () =>
        socket.write(
          `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n` +
            `Authorization: token ${http.token}\r\n\r\n`,
        ),
      );
      socket.on('data', (data) => (text += data));
      socket.on('close', () => resolve(text));
    });
  for (const path of ['/api/contents/../../secret', '/api/contents/%ff', '/%', '/api/contents/%'])
    assert.match(await raw(path), /^HTTP\/1\.1 40[04] /, path);
});

test.run();

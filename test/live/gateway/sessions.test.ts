import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Served, served } from './http-server.ts';

let http: Served;
test.before.each(async () => {
  http = await served();
});
test.after.each(() => http.stop());

const NOTEBOOK = { path: 'a.ipynb', name: 'a', type: 'notebook', kernel: { name: 'python3' } };

async function post(json: unknown, status = 201) {
  const answer = await http.ask('/api/sessions', { method: 'POST', json });
  assert.is(answer.status, status);
  return answer.json();
}
const all = async () => (await http.ask('/api/sessions')).json();

test('a session is made once a path, also when asked for at once', async () => {
  http.service.createMs = 30;
  const [one, two] = await Promise.all([post(NOTEBOOK), post(NOTEBOOK)]);
  assert.equal(one, two);
  assert.equal(await post(NOTEBOOK), one);
  assert.is(http.service.kernels.size, 1);
  assert.equal(one.notebook, { path: 'a.ipynb', name: 'a' });
  assert.is(one.kernel.name, 'python3');
  assert.equal(await all(), [one]);
  assert.equal(await (await http.ask(`/api/sessions/${one.id}`)).json(), one);
});

test('it is kept with its kernel, and ends with it', async () => {
  const session = await post({ ...NOTEBOOK, kernel: undefined });
  const kernel = session.kernel.id;
  assert.equal(http.service.sessionOf(kernel), {
    path: 'a.ipynb',
    name: 'a',
    type: 'notebook',
    id: session.id,
  });
  assert.is((await http.ask(`/api/sessions/${session.id}`, { method: 'DELETE' })).status, 204);
  assert.is(http.service.kernels.size, 0);
  assert.is((await http.ask(`/api/sessions/${session.id}`)).status, 404);
});

test('a session of a kernel that goes while it is deleted is 410', async () => {
  const session = await post(NOTEBOOK);
  const remove = http.service.remove.bind(http.service);
  http.service.remove = async (kernel) => {
    await remove(kernel);
    await remove(kernel);
  };
  assert.is((await http.ask(`/api/sessions/${session.id}`, { method: 'DELETE' })).status, 410);
});

test('a console on the kernel of a notebook leaves its session alone', async () => {
  const notebook = await post(NOTEBOOK);
  const console = await post({
    path: 'console-1',
    name: 'Console 1',
    type: 'console',
    kernel: { id: notebook.kernel.id },
  });
  assert.is.not(console.id, notebook.id);
  assert.is(console.kernel.id, notebook.kernel.id);
  assert.not.ok('notebook' in console);
  assert.is((await all()).length, 2);
  assert.equal(await post({ ...NOTEBOOK, path: 'console-1', type: 'console' }), console);
  assert.is((await http.ask(`/api/sessions/${console.id}`)).status, 200);
  assert.is((await http.ask(`/api/sessions/${notebook.id}`)).status, 200);
});

test('a renamed notebook keeps its session', async () => {
  const { id, kernel } = await post(NOTEBOOK);
  const answer = await http.ask(`/api/sessions/${id}`, {
    method: 'PATCH',
    json: { path: 'b.ipynb', name: 'b' },
  });
  assert.is(answer.status, 200);
  assert.is((await answer.json()).path, 'b.ipynb');
  assert.is(http.service.sessionOf(kernel.id).path, 'b.ipynb');
  assert.is((await all())[0].id, id);
});

test('a session can change its kernel; the old one ends', async () => {
  const { id, kernel } = await post(NOTEBOOK);
  const patch = async (json: unknown) => {
    const answer = await http.ask(`/api/sessions/${id}`, { method: 'PATCH', json });
    return { status: answer.status, body: await answer.json() };
  };
  const renewed = await patch({ kernel: { name: 'python3' } });
  assert.is(renewed.status, 200);
  assert.is.not(renewed.body.kernel.id, kernel.id);
  assert.equal([...http.service.kernels.keys()], [renewed.body.kernel.id]);
  const other = await (await http.ask('/api/kernels', { method: 'POST' })).json();
  const moved = await patch({ kernel: { id: other.id } });
  assert.is(moved.body.kernel.id, other.id);
  assert.equal([...http.service.kernels.keys()], [other.id]);
  assert.is((await all())[0].id, id);
  assert.is((await patch({ kernel: { id: 'nope' } })).status, 400);
});

test('kernels that are not there answer 501, as in Jupyter', async () => {
  const unknown = await post({ ...NOTEBOOK, kernel: { name: 'fortran' } }, 501);
  assert.is(unknown.short_message, 'fortran not found');
  await post({ ...NOTEBOOK, kernel: { id: 'nope' } }, 501);
});

test('the older form with notebook is understood', async () => {
  const session = await post({ notebook: { path: 'old.ipynb' }, kernel: { name: 'python3' } });
  assert.is(session.path, 'old.ipynb');
  assert.is(session.type, 'notebook');
});

test('one path is a session for each user', async () => {
  const { token } = await http.users.add('ada', false);
  const mine = await post(NOTEBOOK);
  const headers = { authorization: `token ${token}` };
  const answer = await http.ask('/api/sessions', { method: 'POST', json: NOTEBOOK, headers });
  const hers = await answer.json();
  assert.is.not(hers.id, mine.id);
  assert.is((await http.ask(`/api/sessions/${mine.id}`, { headers })).status, 404);
});

test.run();

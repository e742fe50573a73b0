// Error pages, maintenance and purges: what a service's owner decides about the gateway's answers.

import assert from 'node:assert/strict';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { startEdge } from './lib/edge.mjs';
import { until } from './lib/wait.mjs';

const APP = `
let asked = 0;
require('node:http').createServer((request, response) => {
  asked += 1;
  response.setHeader('Cache-Control', 'max-age=600');
  response.end('answer ' + asked);
}).listen(process.env.PORT);
`;
const service = (t, extra = '', files = {}) => makeService(t, 'shop', `name = "shop"
command = ["node", "app.js"]
${extra}
[[route]]
host = "shop.localhost"
cache = {}
`, { 'app.js': APP, ...files });

test('pages and maintenance', { timeout: 120_000 }, async (t) => {
  const cloud = await startDev(t);
  const folder = service(t, '[errors]\n503 = "503.html"\n5xx = "5xx.txt"\n[maintenance]\nretry_after = "90s"',
    { '503.html': '<h1>Back soon</h1>', '5xx.txt': 'sorry' });
  await cloud.ctl(['deploy', folder]);
  const get = (headers = {}, target = '/') => cloud.get(target, { host: 'shop.localhost', headers, timeout: 60_000 });
  assert.equal((await get()).status, 200);

  const load = cloud.load({ host: 'shop.localhost', clients: 2 });
  const on = await cloud.ctl(['maintenance', 'shop', 'on']);
  assert.match(on.stdout, /maintenance is on/);
  await load.stop();
  const closed = await get();
  assert.equal(closed.status, 503);
  assert.equal(closed.headers['retry-after'], '90');
  assert.equal(closed.text, '<h1>Back soon</h1>');
  assert.equal(closed.headers['content-type'], 'text/html; charset=utf-8');
  const problem = await get({ accept: 'application/json' });
  assert.equal(problem.headers['content-type'], 'application/problem+json');
  assert.equal(JSON.parse(problem.text).status, 503);
  assert.equal((await cloud.ctlJson('services')).services[0].maintenance, true);

  // A release does not end it, and lets some in.
  await cloud.ctl(['deploy', service(t, '[maintenance]\nallow = ["127.0.0.0/8"]')]);
  assert.equal((await get()).status, 200);
  await cloud.ctl(['deploy', folder]);
  assert.equal((await get()).status, 503);
  await cloud.ctl(['maintenance', 'shop', 'off']);
  assert.equal((await get()).status, 200);
  assert.deepEqual(load.failures.filter((one) => one.status !== 503), []);

  // Nobody is there at all: the page is.
  await cloud.ctl(['stop', 'shop']);
  const gone = await get({}, '/other');
  assert.equal(gone.status, 503);
  assert.equal(gone.text, '<h1>Back soon</h1>');

  const wrong = await cloud.ctl(['maintenance', 'shop', 'maybe'], { ok: false });
  assert.equal(wrong.code, 2);
  assert.equal((await cloud.ctl(['maintenance', 'nobody', 'on'], { ok: false })).code, 3);
  for (const [extra, expected] of [
    ['[errors]\n200 = "x"', /no status of an error/], ['[errors]\n502 = "../x"', /file of the bundle/], ['[errors]\n502 = "none.html"', /none\.html/],
    ['[maintenance]\nallow = ["x"]', /allow|network|address/],
  ]) {
    const refused = await cloud.ctl(['deploy', service(t, extra)], { ok: false });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, expected);
  }
});

test('a purge reaches all gateways, and says which it has not', { timeout: 120_000 }, async (t) => {
  const edge = await startEdge(t);
  await edge.ctl(['deploy', service(t)]);
  const ask = (index, target) => edge.ask(index, 'shop.localhost', target);
  for (const index of [0, 1]) {
    await until('the route', async () => (await ask(index, '/a')).status === 200);
    for (const target of ['/a', '/a/b', '/ab']) {
      await ask(index, target);
      assert.match((await ask(index, target)).headers['cache-status'], /hit/);
    }
  }
  const purged = await edge.ctlJson('purge shop /a');
  assert.deepEqual(purged, { gateways: ['gw-1', 'gw-2'], missing: [] });
  for (const index of [0, 1]) {
    for (const target of ['/a', '/a/b']) assert.match((await ask(index, target)).headers['cache-status'], /uri-miss/);
    assert.match((await ask(index, '/ab')).headers['cache-status'], /hit/);
  }
  await edge.ctl(['purge', 'shop', '/a', '--exact', '--host', 'shop.localhost']);
  assert.match((await ask(0, '/a')).headers['cache-status'], /uri-miss/);
  assert.match((await ask(0, '/a/b')).headers['cache-status'], /hit/);
  await edge.ctl(['purge', 'shop', '--host', 'other.localhost']);
  assert.match((await ask(1, '/ab')).headers['cache-status'], /hit/);
  assert.equal((await edge.ctl(['purge', 'nobody'], { ok: false })).code, 3);
});

// Routes with a cache, as clients of HTTP/1.1 and HTTP/2 see them, and what the service is asked.

import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import test from 'node:test';
import { startGateway } from './lib/gateway.mjs';
import { Load, request } from './lib/http.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { run } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

// A gateway with one service whose routes have a cache; `asked` is what it was asked.
async function startCached(t, { section = '', cache = {}, handler }) {
  const gateway = await startGateway(t, section);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const asked = [];
  const server = await serve(t, (incoming, response) => {
    asked.push({ method: incoming.method, url: incoming.url, headers: incoming.headers });
    handler(incoming, response, asked.length);
  });
  const table = (settings, endpoints = [{ instance: 'web-1', port: server.address().port }]) =>
    [{ service: 'web', routes: [{ host: 'web.localhost', ...settings }], endpoints, hold: 500 }];
  await lighthouse.publish(table({ cache }));
  const get = (target, options = {}) => request(gateway.ports.gateway, target, { host: 'web.localhost', ...options });
  const metric = async (name) => {
    const { text } = await request(gateway.ports.node, '/metrics');
    const line = text.split('\n').find((one) => one.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
  return { gateway, lighthouse, asked, server, table, get, metric };
}

test('one answer serves everybody, over both protocols, and its parts and conditions', async (t) => {
  const { gateway, asked, get, metric } = await startCached(t, {
    handler: (incoming, response, count) => {
      response.setHeader('Cache-Control', 'max-age=600');
      response.setHeader('ETag', `"v${count}"`);
      response.setHeader('Content-Type', 'text/plain');
      response.end('0123456789'.repeat(2000));
    },
  });
  const first = await get('/page?x=1');
  assert.equal(first.headers['cache-status'], 'candela; fwd=uri-miss; stored');
  const second = await get('/page?x=1');
  assert.match(second.headers['cache-status'], /^candela; hit; ttl=\d+$/);
  assert.match(second.headers.age, /^\d+$/);
  assert.equal(second.text, first.text);
  assert.equal(asked.length, 1);

  const part = await get('/page?x=1', { headers: { range: 'bytes=5-14' } });
  assert.equal(part.status, 206);
  assert.equal(part.text, '5678901234');
  assert.equal(part.headers['content-range'], 'bytes 5-14/20000');
  const same = await get('/page?x=1', { headers: { 'if-none-match': '"v1"' } });
  assert.equal(same.status, 304);
  assert.equal(same.text, '');
  const head = await get('/page?x=1', { method: 'HEAD' });
  assert.equal(head.headers['content-length'], '20000');

  const session = http2.connect(`http://127.0.0.1:${gateway.ports.gateway}`);
  t.after(() => session.destroy());
  for (let i = 0; i < 3; i += 1) {
    const stream = session.request({ ':path': '/page?x=1', ':authority': 'web.localhost' });
    const answer = await new Promise((done, fail) => {
      let fields;
      let text = '';
      stream.on('response', (headers) => { fields = headers; });
      stream.on('data', (bytes) => { text += bytes; });
      stream.on('end', () => done({ fields, text }));
      stream.on('error', fail);
    });
    assert.match(answer.fields['cache-status'], /hit/);
    assert.equal(answer.text, first.text);
  }
  const curl = await run('curl', ['-sS', '-H', 'Host: web.localhost', '--http2-prior-knowledge', '-D', '-',
    `http://127.0.0.1:${gateway.ports.gateway}/page?x=1`]);
  assert.match(curl.stdout, /cache-status: candela; hit/i);
  assert.equal(asked.length, 1);

  assert.equal(await metric('candela_gateway_cache_answers'), 1);
  assert.ok(await metric('candela_gateway_cache_bytes') > 20_000);
  assert.equal(await metric('candela_gateway_cache_requests_total{result="hit",service="default/web"}')
    ?? await metric('candela_gateway_cache_requests_total{service="default/web",result="hit"}'), 8);
});

test('a hundred clients at once cause one request, whichever loop they are on', async (t) => {
  let release;
  const wait = new Promise((done) => { release = done; });
  const { gateway, asked, get } = await startCached(t, {
    handler: async (incoming, response) => {
      await wait;
      response.setHeader('Cache-Control', 's-maxage=60');
      response.end('once');
    },
  });
  const all = Array.from({ length: 100 }, () => get('/slow'));
  await until('the service to be asked', () => asked.length > 0);
  // All have been read when this one is answered by another route.
  await until('the gateway to have them all', async () => {
    const { text } = await request(gateway.ports.node, '/metrics');
    return /candela_gateway_requests_in_flight 100\n/.test(text);
  });
  release();
  for (const answer of await Promise.all(all)) assert.equal(answer.text, 'once');
  assert.equal(asked.length, 1);
});

test('nobody can put an answer under a name that others ask for', async (t) => {
  const { asked, get } = await startCached(t, {
    section: 'trusted_proxies = ["127.0.0.1"]',
    // As careless as they come: what it is told goes into what it says.
    handler: (incoming, response) => {
      response.setHeader('Cache-Control', 'max-age=600');
      response.end(JSON.stringify(incoming.headers) + incoming.url + incoming.method);
    },
  });
  const attempts = [
    { 'x-forwarded-host': 'evil.example' }, { 'x-forwarded-proto': 'evil' }, { forwarded: 'host=evil.example' },
    { 'x-forwarded-for': 'evil' }, { 'x-original-url': '/evil' }, { 'x-rewrite-url': '/evil' }, { 'x-host': 'evil.example' },
    { 'x-forwarded-port': 'evil' }, { 'x-forwarded-prefix': '/evil' }, { 'x-http-method-override': 'EVIL' },
    { x_forwarded_host: 'evil.example' }, { 'x-forwarded-server': 'evil' }, { 'x-real-ip': 'evil' }, { host: 'web.localhost:666' },
  ];
  let number = 0;
  for (const headers of attempts) {
    number += 1;
    const target = `/page-${number}`;
    await get(target, { headers });
    const { text } = await get(target);
    assert.doesNotMatch(text, /evil|666/i, `${JSON.stringify(headers)} reached another's answer: ${text}`);
  }
  // What can't be in a key makes no answer that is kept: a body with a GET.
  const before = asked.length;
  await get('/body', { method: 'GET', headers: { 'content-length': '4' }, body: 'evil' });
  await get('/body');
  assert.equal(asked.length, before + 2);
});

test('what is stale is validated, given while that takes, and while the service is away', async (t) => {
  let mode = 'new';
  const { asked, get, lighthouse, table } = await startCached(t, {
    cache: { stale_while_revalidate: '1h', stale_if_error: '1h' },
    handler: (incoming, response) => {
      response.setHeader('ETag', '"one"');
      if (incoming.url === '/strict') response.setHeader('Cache-Control', 'max-age=0, must-revalidate');
      else response.setHeader('Cache-Control', 'max-age=1');
      if (mode === 'broken') { response.statusCode = 503; response.end('broken'); return; }
      if (incoming.headers['if-none-match'] === '"one"') { response.statusCode = 304; response.end(); return; }
      response.end('hello');
    },
  });
  for (const expected of [/stored/, /fwd=stale; fwd-status=304/, /fwd=stale; fwd-status=304/]) {
    const answer = await get('/strict');
    assert.equal(answer.text, 'hello');
    assert.match(answer.headers['cache-status'], expected);
  }
  assert.equal(asked.at(-1).headers['if-none-match'], '"one"');

  await get('/soft');
  await until('it to be stale', async () => /ttl=(-|0)/.test((await get('/soft')).headers['cache-status']));
  await until('it to be fetched meanwhile', async () => /ttl=1/.test((await get('/soft')).headers['cache-status']));

  mode = 'broken';
  const strict = await get('/strict');
  assert.equal(strict.status, 503, 'must-revalidate gives nothing stale');
  await until('it to be stale', async () => /ttl=(-|0)/.test((await get('/soft')).headers['cache-status']));
  assert.equal((await get('/soft', { headers: { 'cache-control': 'no-cache' } })).text, 'hello');
  await lighthouse.publish(table({ cache: { stale_while_revalidate: '1h', stale_if_error: '1h' } }, []));
  assert.equal((await get('/soft')).text, 'hello');
});

test('a change of the route, and of the thing, is seen at once, under load', async (t) => {
  let version = 1;
  const { gateway, get, lighthouse, table } = await startCached(t, {
    handler: (incoming, response) => {
      if (incoming.method === 'PUT') version += 1;
      response.setHeader('Cache-Control', 'max-age=600');
      response.end(`version ${version} ${incoming.url}`);
    },
  });
  const load = new Load(gateway.ports.gateway, { host: 'web.localhost', target: '/thing', clients: 8, pause: 0 });
  for (let i = 0; i < 20; i += 1) {
    const { text } = await get('/thing');
    await get('/thing', { method: 'PUT' });
    const after = await get('/thing');
    assert.notEqual(after.text, text);
    assert.equal(after.text, `version ${version} /thing`);
  }
  await lighthouse.publish(table({ cache: {}, rewrite: '/other' }));
  assert.match((await get('/thing')).text, /\/other\/thing/);
  await lighthouse.publish(table({}));
  assert.equal((await get('/thing')).headers['cache-status'], undefined);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('the cache keeps to its size, and a client that reads slowly to its buffer', async (t) => {
  const { get, gateway, metric } = await startCached(t, {
    section: 'cache_size = "4MiB"',
    cache: { object_max: '1MiB' },
    handler: (incoming, response) => {
      response.setHeader('Cache-Control', 'max-age=600');
      response.end(Buffer.alloc(incoming.url === '/large' ? 1_100_000 : 900_000, 'x'));
    },
  });
  for (let i = 0; i < 12; i += 1) await get(`/${i}`);
  assert.ok(await metric('candela_gateway_cache_bytes') <= 4 << 20);
  assert.ok(await metric('candela_gateway_cache_evicted') >= 7);
  assert.match((await get('/11')).headers['cache-status'], /hit/);
  await get('/large');
  assert.match((await get('/large')).headers['cache-status'], /fwd=uri-miss$/);

  const slow = http.get({ port: gateway.ports.gateway, path: '/11', headers: { host: 'web.localhost' }, agent: false });
  const answer = await new Promise((done) => { slow.on('response', done); });
  answer.pause();
  for (let i = 0; i < 12; i += 1) await get(`/${i}`); // it leaves the cache meanwhile
  let size = 0;
  for await (const bytes of answer) size += bytes.length;
  assert.equal(size, 900_000);
});

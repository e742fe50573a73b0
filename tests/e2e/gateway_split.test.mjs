// Shares of a route's traffic: to other services, to endpoints by weight, and as copies.

import assert from 'node:assert/strict';
import test from 'node:test';
import { makeService, startDev } from './lib/cloud.mjs';
import { startGateway } from './lib/gateway.mjs';
import { Load, request } from './lib/http.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const APP = `
let copies = 0;
require('node:http').createServer((request, response) => {
  if (request.headers['x-candela-mirror']) copies += 1;
  if (request.url === '/copies') { response.end(String(copies)); return; }
  response.end(process.env.NAME);
}).listen(process.env.PORT);
`;
const service = (t, name, rest) => makeService(t, name, `name = "${name}"
command = ["node", "app.js"]
[env]
NAME = "${name}"
${rest}
`, { 'app.js': APP });

// Whether so many of `total` are what that share would give: five standard deviations.
const isAbout = (count, total, share) => Math.abs(count - total * share) <= 5 * Math.sqrt(total * share * (1 - share));

test('a canary gets its share, by chance or by cookie, and a deploy moves it without a failed request', { timeout: 180_000 }, async (t) => {
  const cloud = await startDev(t);
  // It has no route of its own.
  await cloud.ctl(['deploy', service(t, 'shop-next', '')]);
  const shop = (split) => service(t, 'shop', `[[route]]\nhost = "shop.localhost"\n${split}`);
  await cloud.ctl(['deploy', shop('split = [{ service = "shop-next", percent = 20 }]')]);
  const count = async (total, headers = () => ({})) => {
    const counts = { shop: 0, 'shop-next': 0 };
    for (let i = 0; i < total; i += 1) {
      const { text } = await cloud.get('/', { host: 'shop.localhost', headers: headers(i) });
      counts[text] += 1;
    }
    return counts;
  };
  const load = cloud.load({ host: 'shop.localhost', clients: 4 });
  let counts = await count(400);
  assert.ok(isAbout(counts['shop-next'], 400, 0.2), JSON.stringify(counts));

  await cloud.ctl(['deploy', shop('split = [{ service = "shop-next", percent = 50 }]\nsplit_by = "cookie:uid"')]);
  const seen = new Map();
  for (let round = 0; round < 2; round += 1) {
    counts = await count(200, (i) => ({ cookie: `uid=u${i}` }));
    assert.ok(isAbout(counts['shop-next'], 200, 0.5), JSON.stringify(counts));
  }
  for (let i = 0; i < 60; i += 1) {
    const { text } = await cloud.get('/', { host: 'shop.localhost', headers: { cookie: `uid=u${i % 20}` } });
    if (seen.has(i % 20)) assert.equal(text, seen.get(i % 20));
    seen.set(i % 20, text);
  }
  await cloud.ctl(['deploy', shop('split = [{ service = "shop-next", percent = 100 }]')]);
  assert.deepEqual(await count(30), { shop: 0, 'shop-next': 30 });
  // Without an instance of it, the route's own service does.
  await cloud.ctl(['stop', 'shop-next']);
  await until('all to be its own', async () => (await count(10)).shop === 10);
  await cloud.ctl(['deploy', shop('')]);
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('endpoints get requests by their weight, which a new table changes under load', async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const servers = await Promise.all(['old', 'new'].map((name) => serve(t, (incoming, response) => response.end(name))));
  const publish = (...weights) => lighthouse.publish([{
    service: 'web', routes: [{ host: 'web.localhost' }],
    endpoints: servers.map((server, i) => ({ instance: `web-${i}`, port: server.address().port, weight: weights[i] })),
  }]);
  await publish(100, 0);
  const load = new Load(gateway.ports.gateway, { host: 'web.localhost', clients: 8, pause: 0 });
  for (const percent of [0, 10, 50, 90, 100]) {
    await publish(100 - percent, percent);
    let fresh = 0;
    const total = 500;
    for (let i = 0; i < total; i += 1) {
      const { text } = await gateway.get('/', { host: 'web.localhost' });
      if (text === 'new') fresh += 1;
    }
    assert.ok(isAbout(fresh, total, percent / 100), `${fresh} of ${total} at ${percent} %`);
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
});

test('a mirror gets copies, and its silence and failures are not felt', async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const own = await serve(t, (incoming, response) => incoming.pipe(response));
  const copies = [];
  let mode = 'answer';
  const mirror = await serve(t, (incoming, response) => {
    let body = '';
    incoming.on('data', (bytes) => { body += bytes; });
    incoming.on('end', () => {
      copies.push({ url: incoming.url, headers: incoming.headers, body });
      if (mode === 'answer') response.end('never seen');
      if (mode === 'break') incoming.socket.destroy();
    });
  });
  await lighthouse.publish([
    {
      service: 'web',
      routes: [{ host: 'web.localhost', mirror: { service: 'shadow', percent: 100, body_max: 1000 } }],
      endpoints: [{ instance: 'web-1', port: own.address().port }],
    },
    { service: 'shadow', routes: [{ host: 'shadow.localhost' }], endpoints: [{ instance: 'shadow-1', port: mirror.address().port }] },
  ]);
  const post = (body) => gateway.get('/in?x=1', { host: 'web.localhost', method: 'POST', body });
  assert.equal((await post('hello')).text, 'hello');
  await until('the copy', () => copies.length === 1);
  assert.equal(copies[0].body, 'hello');
  assert.equal(copies[0].url, '/in?x=1');
  assert.equal(copies[0].headers['x-candela-mirror'], 'default/web');
  assert.equal(copies[0].headers.host, 'web.localhost');
  assert.equal((await post('x'.repeat(2000))).text.length, 2000);

  for (mode of ['break', 'hang']) {
    const load = new Load(gateway.ports.gateway, { host: 'web.localhost', clients: 8, pause: 0 });
    const before = copies.length;
    await until('many copies', () => copies.length > before + 150);
    await load.stop();
    assert.deepEqual(load.failures, []);
  }
  const { text } = await request(gateway.ports.node, '/metrics');
  assert.match(text, /candela_gateway_mirrors_dropped [1-9]/);
  assert.match(text, /candela_gateway_mirrors_answered [1-9]/);
  assert.match(text, /candela_gateway_mirrors_failed [1-9]/);
});

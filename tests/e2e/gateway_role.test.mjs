// The gateway role beside a bus, with a lighthouse that the test plays: routes, changes under load, drain,
// restart without a lighthouse, bus-native services.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { connect, credsAuthenticator, headers as natsHeaders } from 'nats';
import jwt from '@nats-io/jwt';
import { startGateway } from './lib/gateway.mjs';
import { Load, request } from './lib/http.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { sleep, until } from './lib/wait.mjs';

const named = (t, name, port) => serve(t, (incoming, response) => response.end(name), port);
const endpoint = (instance, server) => ({ instance, port: server.address().port });

test('routes decide by host and longest prefix, and change without a failed request', { timeout: 90_000 }, async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const [one, two, api] = await Promise.all(['one', 'two', 'api'].map((name) => named(t, name)));
  await lighthouse.publish([
    { service: 'web', routes: [{ host: 'web.localhost' }], endpoints: [endpoint('web-1', one)] },
    { service: 'api', routes: [{ host: 'web.localhost', path: '/api' }], endpoints: [endpoint('api-1', api)] },
  ]);
  assert.equal((await gateway.get('/', { host: 'web.localhost' })).text, 'one');
  assert.equal((await gateway.get('/api/users', { host: 'WEB.localhost:80' })).text, 'api');
  assert.equal((await gateway.get('/apis', { host: 'web.localhost' })).text, 'one');
  const missing = await gateway.get('/', { host: 'other.localhost' });
  assert.equal(missing.status, 404);
  assert.match(missing.text, /no route/);

  const load = new Load(gateway.ports.gateway, { host: 'web.localhost', clients: 8, pause: 0 });
  const web = (...endpoints) => [{ service: 'web', routes: [{ host: 'web.localhost' }], endpoints }];
  for (let i = 0; i < 10; i += 1) {
    await lighthouse.publish(web(endpoint('web-1', one), endpoint('web-2', two)));
    await sleep(50);
    await lighthouse.publish(web(endpoint('web-2', two)));
    await sleep(50);
    await lighthouse.publish(web(endpoint('web-1', one)));
  }
  await lighthouse.publish(web()); // none: requests are held
  await sleep(300);
  await lighthouse.publish(web(endpoint('web-2', two)));
  await load.stop();
  assert.deepEqual(load.failures, []);
  assert.ok(load.bodies.get('one') > 0 && load.bodies.get('two') > 0);
  const metrics = (await request(gateway.ports.node, '/metrics')).text;
  assert.match(metrics, /candela_gateway_requests_total\{service="default\/web",code="2xx"\} \d+/);
});

test('the heartbeat names instances that left and still have a request in flight', { timeout: 60_000 }, async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const held = [];
  const slow = await serve(t, (incoming, response) => held.push(response));
  await lighthouse.publish([{ service: 'slow', endpoints: [endpoint('slow-1', slow)] }]);
  const answer = gateway.get('/');
  await until('the request to arrive', () => held.length === 1);
  await lighthouse.publish([{ service: 'slow', endpoints: [] }]);
  assert.deepEqual(lighthouse.busy(), ['slow-1']);
  await lighthouse.publish([]); // the whole service goes
  assert.deepEqual(lighthouse.busy(), ['slow-1']);
  held[0].end('done');
  assert.equal((await answer).text, 'done');
  await until('nothing to be busy', () => lighthouse.busy().length === 0);
});

test('a service without a ready instance holds requests, then 503', { timeout: 60_000 }, async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  await lighthouse.publish([{ service: 'none', hold: 1000 }]);
  const begun = Date.now();
  const late = await gateway.get('/');
  assert.equal(late.status, 503);
  assert.ok(late.headers['retry-after']);
  assert.ok(Date.now() - begun >= 900);
});

test('without lighthouse or bus the last routes are served, over a restart too', { timeout: 60_000 }, async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const web = await named(t, 'web');
  await lighthouse.publish([{ service: 'web', endpoints: [endpoint('web-1', web)] }]);
  assert.equal((await gateway.get('/')).text, 'web');
  await lighthouse.stop();
  await sleep(300); // the table is written behind the scenes
  await gateway.cloud.node('gw').kill();
  gateway.start();
  await gateway.cloud.ready('gw', gateway.ports.node);
  assert.equal((await gateway.get('/')).text, 'web');
  // A drain lets what is in flight finish.
  const stopped = await gateway.cloud.node('gw').stop();
  assert.equal(stopped.code, 0);
});

test('a bus-native service answers over HTTP', { timeout: 60_000 }, async (t) => {
  const gateway = await startGateway(t);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  await lighthouse.publish([{ service: 'calc', kind: 'bus', routes: [{ path: '/calc' }], hold: 5000 }]);

  // Asked before anybody serves: held.
  const early = gateway.get('/calc/math/add', { method: 'POST', body: '[1,2]' });
  await sleep(300);
  const identity = path.join(gateway.data, 'identity/accounts');
  const account = jwt.decode(fs.readFileSync(path.join(identity, 'default.jwt'), 'utf8').trim()).sub;
  const signer = jwt.fromSeed(fs.readFileSync(path.join(identity, 'default.seed')));
  const user = jwt.createUser();
  const token = await jwt.encodeUser('calc', user, signer, { issuer_account: account });
  const connection = await connect({
    servers: gateway.server,
    authenticator: credsAuthenticator(Buffer.from(jwt.fmtCreds(token, user))),
  });
  t.after(() => connection.close());
  const service = await connection.services.add({ name: 'calc', version: '1.0.0' });
  const math = service.addGroup('math');
  math.addEndpoint('add', (error, message) => {
    const numbers = message.json();
    if (!Array.isArray(numbers)) message.respondError(422, 'a list is wanted');
    else message.respond(JSON.stringify({ sum: numbers.reduce((a, b) => a + b) }));
  });
  service.addEndpoint('whoami', (error, message) => {
    const reply = natsHeaders();
    reply.set('Content-Type', 'text/plain');
    reply.set('Http-Status', '201');
    reply.set('ETag', '"1"');
    message.respond(`${message.headers.get('Http-Method')} ${message.headers.get('User-Agent')}`, { headers: reply });
  });
  service.addEndpoint('silent', () => {});
  assert.equal((await early).text, '{"sum":3}');

  const sum = await gateway.get('/calc/math/add', { method: 'POST', body: '[20,22]' });
  assert.equal(sum.status, 200);
  assert.equal(sum.text, '{"sum":42}');
  assert.equal(sum.headers['content-type'], 'application/json');
  const wrong = await gateway.get('/calc/math/add', { method: 'POST', body: '{}' });
  assert.equal(wrong.status, 422);
  assert.match(wrong.text, /a list is wanted/);
  const who = await gateway.get('/calc/whoami', { headers: { 'user-agent': 'me' } });
  assert.deepEqual([who.status, who.text, who.headers.etag], [201, 'GET me', '"1"']);
  for (const target of ['/calc/$SRV/PING', '/calc/_INBOX/x', '/calc/a.b', '/calc//add', '/calc/%3E']) {
    assert.equal((await gateway.get(target)).status, 404, target);
  }
  const large = await gateway.get('/calc/math/add', { method: 'POST', body: Buffer.alloc(3 << 20) });
  assert.equal(large.status, 413);
  const load = new Load(gateway.ports.gateway, { target: '/calc/whoami', clients: 16, pause: 0 });
  await sleep(500);
  await load.stop();
  assert.deepEqual(load.failures, []);
  assert.ok(load.sent > 100);
  await service.stop();
  const nobody = await gateway.get('/calc/math/add', { method: 'POST', body: '[]', timeout: 10_000 });
  assert.equal(nobody.status, 503);
});

test('requests are logged with a trace that the service sees, and no secrets', { timeout: 60_000 }, async (t) => {
  const log = path.join(tempDir(t, 'access'), 'access.log');
  const gateway = await startGateway(t, `[gateway.access_log]\nfile = "${log}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const seen = [];
  const server = await serve(t, (incoming, response) => { seen.push(incoming.headers.traceparent); response.end('ok'); });
  await lighthouse.publish([{ service: 'web', routes: [{ host: 'web.localhost' }], endpoints: [endpoint('web-1', server)] }]);
  const given = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await gateway.get('/a?password=s3cret', { host: 'web.localhost', headers: { cookie: 'c=s3cret' } });
  await gateway.get('/b', { host: 'web.localhost', headers: { traceparent: given } });
  await gateway.get('/c', { host: 'web.localhost', headers: { traceparent: 'nonsense' } });
  await gateway.get('/d', { host: 'nobody.localhost' });
  const lines = () => fs.readFileSync(log, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  await until('four lines', () => lines().length === 4);
  const text = fs.readFileSync(log, 'utf8');
  assert.doesNotMatch(text, /s3cret/);
  const [a, b, c, d] = lines();
  assert.deepEqual([a.path, a.status, a.service, a.instance, a.client], ['/a', 200, 'default/web', 'web-1', '127.0.0.1']);
  assert.match(seen[0], /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(a.trace_id, seen[0].slice(3, 35));
  assert.equal(seen[1], given);
  assert.equal(b.trace_id, given.slice(3, 35));
  assert.equal(c.trace_id, seen[2].slice(3, 35));
  assert.equal(d.status, 404);

  // logrotate moves the file, and says so by SIGHUP.
  fs.renameSync(log, `${log}.1`);
  gateway.cloud.node('gw').kill('SIGHUP');
  await until('the file to be there again', () => fs.existsSync(log));
  await gateway.get('/e', { host: 'web.localhost' });
  await until('the next line', () => lines().some((line) => line.path === '/e'));
});

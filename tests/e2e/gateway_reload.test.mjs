// A hundred reloads, each with a new table of routes, under load and with WebSockets open: no
// request fails and no WebSocket is cut.

import assert from 'node:assert/strict';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { Load } from './lib/http.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { run, tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until, within } from './lib/wait.mjs';

const RELOADS = 100;

test('a hundred reloads under load', async (t) => {
  const certs = tempDir(t, 'certs');
  await certificate(certs, 'default', 'web.localhost');
  const gateway = await startGateway(t, `[gateway.tls]\nlisten = "127.0.0.1:{port}"\ncertificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const server = await serve(t, (request, response) => response.end('hello'));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo ${text}`)));
  t.after(() => sockets.close());

  const table = (round) => [{ service: 'web', routes: [{ host: 'web.localhost' }, { host: `round-${round}.localhost` }],
    endpoints: [{ instance: 'web-1', port: server.address().port }] }];
  await lighthouse.publish(table(0));
  await until('the route', async () => (await gateway.get('/', { host: 'web.localhost' })).status === 200);

  const clients = await Promise.all(Array.from({ length: 20 }, (_, i) => within(10_000, 'a WebSocket', new Promise((done, fail) => {
    const secure = i % 2 === 0;
    const client = new WebSocket(`${secure ? 'wss' : 'ws'}://127.0.0.1:${secure ? gateway.ports.tls : gateway.ports.gateway}/`,
      { headers: { host: 'web.localhost' }, rejectUnauthorized: false, servername: 'web.localhost' });
    client.on('open', () => done(client));
    client.on('error', fail);
  }))));
  let cut = 0;
  for (const client of clients) client.on('close', () => { cut += 1; });
  const echo = (client, text) => within(10_000, 'an echo', new Promise((done) => {
    client.once('message', (answer) => done(String(answer)));
    client.send(text);
  }));

  const load = new Load(gateway.ports.gateway, { host: 'web.localhost', clients: 8, pause: 1 });
  t.after(() => load.stop());
  const { pid } = gateway.cloud.node('gw');
  for (let round = 1; round <= RELOADS; round += 1) {
    if (round % 10 === 0) await certificate(certs, 'default', 'web.localhost');
    process.kill(pid, 'SIGHUP');
    await lighthouse.publish(table(round));
    await until(`the routes of round ${round}`, async () => (await gateway.get('/', { host: `round-${round}.localhost` })).status === 200);
    const client = clients[round % clients.length];
    assert.equal(await echo(client, `${round}`), `echo ${round}`);
  }
  await load.stop();
  assert.deepEqual(load.failures, []);
  assert.ok(load.sent > RELOADS, `${load.sent} requests`);
  assert.equal(cut, 0);
  for (const client of clients) client.close();
  const curl = await run('curl', ['-sk', '--resolve', `web.localhost:${gateway.ports.tls}:127.0.0.1`, `https://web.localhost:${gateway.ports.tls}/`]);
  assert.equal(curl.stdout, 'hello');
});

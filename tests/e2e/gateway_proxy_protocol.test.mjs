// The gateway behind a balancer that passes bytes on and says by the PROXY protocol who the client
// is: HAProxy with both versions, over HTTP, HTTPS and HTTP/2; and curl's own.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { freePort } from './lib/ports.mjs';
import { Program, run, tempDir } from './lib/program.mjs';
import { Raw, serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

async function start(t, trusted) {
  const certs = tempDir(t, 'certs');
  await certificate(certs, 'default', 'web.localhost');
  const gateway = await startGateway(t, `proxy_protocol = true
trusted_proxies = ["${trusted}"]
[gateway.tls]
listen = "127.0.0.1:{port}"
certificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const server = await serve(t, (request, response) => {
    const { 'x-forwarded-for': client, 'x-forwarded-proto': proto } = request.headers;
    let length = 0;
    request.on('data', (bytes) => { length += bytes.length; });
    request.on('end', () => response.end(`${client} ${proto} ${length}`));
  });
  await lighthouse.publish([{ service: 'web', routes: [{ host: 'web.localhost' }], endpoints: [{ instance: 'web-1', port: server.address().port }] }]);
  return { ...gateway, certs };
}

const curl = (port, args, scheme = 'http') => run('curl', ['-sk', '--max-time', '10', '--resolve', `web.localhost:${port}:127.0.0.1`,
  ...args, `${scheme}://web.localhost:${port}/`]);

test('the PROXY protocol', async (t) => {
  const gateway = await start(t, '127.0.0.1');
  await until('the route', async () => (await curl(gateway.ports.gateway, ['--haproxy-protocol'])).stdout.startsWith('127.0.0.1 http'));

  const ports = { v1: await freePort(), v2: await freePort(), tls: await freePort() };
  const config = path.join(gateway.cloud.dir, 'haproxy.cfg');
  fs.writeFileSync(config, `
defaults
  mode tcp
  timeout client 10s
  timeout server 10s
  timeout connect 5s
listen v1
  bind 127.0.0.1:${ports.v1}
  server gw 127.0.0.1:${gateway.ports.gateway} send-proxy
listen v2
  bind 127.0.0.1:${ports.v2}
  server gw 127.0.0.1:${gateway.ports.gateway} send-proxy-v2 proxy-v2-options unique-id,crc32c
listen tls
  bind 127.0.0.1:${ports.tls}
  server gw 127.0.0.1:${gateway.ports.tls} send-proxy-v2
`);
  const haproxy = new Program('haproxy', ['-db', '-f', config], { name: 'haproxy', log: path.join(gateway.cloud.dir, 'haproxy.log') });
  t.after(() => haproxy.stop());
  // From another address than HAProxy's own, to tell them apart.
  const from = ['--interface', '127.0.0.9'];
  await until('haproxy', async () => (await curl(ports.v1, from)).code === 0);

  await t.test('version 1 and 2 tell the client\'s address', async () => {
    assert.equal((await curl(ports.v1, from)).stdout, '127.0.0.9 http 0');
    assert.equal((await curl(ports.v2, from)).stdout, '127.0.0.9 http 0');
  });
  await t.test('what the client itself claims is not believed', async () => {
    assert.equal((await curl(ports.v2, [...from, '-H', 'X-Forwarded-For: 6.6.6.6'])).stdout, '127.0.0.9 http 0');
  });
  await t.test('HTTPS, HTTP/1.1 and HTTP/2', async () => {
    assert.equal((await curl(ports.tls, [...from, '--http1.1'], 'https')).stdout, '127.0.0.9 https 0');
    assert.equal((await curl(ports.tls, [...from, '--http2'], 'https')).stdout, '127.0.0.9 https 0');
    assert.equal((await curl(ports.v2, [...from, '--http2-prior-knowledge'])).stdout, '127.0.0.9 http 0');
  });
  await t.test('a large body, and many requests on one connection', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
    const ask = (body) => new Promise((done, fail) => {
      const sent = http.request({ port: ports.v2, method: 'POST', agent, headers: { host: 'web.localhost' } }, (answer) => {
        let text = '';
        answer.on('data', (bytes) => { text += bytes; });
        answer.on('end', () => done(text));
      });
      sent.on('error', fail);
      sent.end(body);
    });
    assert.equal(await ask(Buffer.alloc(20_000_000)), '127.0.0.1 http 20000000');
    for (let i = 0; i < 50; i += 1) assert.equal(await ask('abc'), '127.0.0.1 http 3');
    agent.destroy();
  });
  await t.test('without a header nobody is served', async () => {
    const raw = new Raw(gateway.ports.gateway);
    raw.send('GET / HTTP/1.1\r\nHost: web.localhost\r\n\r\n');
    await raw.until(() => raw.closed || raw.ended);
    assert.equal(raw.text, '');
    raw.close();
    assert.notEqual((await curl(gateway.ports.tls, [], 'https')).code, 0);
  });
});

test('only trusted_proxies may say who the client is', async (t) => {
  const gateway = await start(t, '192.0.2.1');
  await until('the gateway', () => curl(gateway.ports.gateway, ['--haproxy-protocol']).then((result) => result.code === 52 || result.code === 56));
  await until('the log to say why', () => /proxy_header_refused.*not one of trusted_proxies/.test(gateway.cloud.node('gw').tail(50)));
});

test('proxy_protocol without trusted_proxies is a mistake', async (t) => {
  const file = path.join(tempDir(t, 'profile'), 'node.toml');
  fs.writeFileSync(file, '[node]\nroles = ["gateway"]\n[bus]\nurl = "127.0.0.1:4222"\n[gateway]\nproxy_protocol = true\n');
  const { CANDELA } = await import('./lib/program.mjs');
  const result = await run(CANDELA, ['node', '--check', file]);
  assert.notEqual(result.code, 0);
  assert.match(result.stderr, /:6:1.*needs trusted_proxies/);
});

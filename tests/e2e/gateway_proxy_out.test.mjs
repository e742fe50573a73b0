// Services that are told the client's address by the PROXY protocol: nginx and HAProxy, as they have stood behind a balancer.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { freePort } from './lib/ports.mjs';
import { Program, run, tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const NGINX = (dir, port) => `daemon off; master_process off; pid ${dir}/pid; error_log stderr error; events { worker_connections 256; }
http { access_log off; client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
server { listen 127.0.0.1:${port} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
location / { default_type text/plain; return 200 "$remote_addr $proxy_protocol_server_addr $connection_requests"; } } }
`;

const HAPROXY = (port, behind) => `
defaults
  mode http
  option forwardfor header X-Told
  timeout client 10s
  timeout server 10s
  timeout connect 5s
listen told
  bind 127.0.0.1:${port} accept-proxy
  server app 127.0.0.1:${behind}
`;

// A request with Host `host` from the local address `from`.
function ask(port, host, from, agent = false) {
  return new Promise((done, fail) => {
    const sent = http.get({ host: '127.0.0.1', port, localAddress: from, agent, headers: { host }, timeout: 10_000 }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => { text += bytes; });
      answer.on('end', () => done(text));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', fail);
  });
}

test('nginx and HAProxy are told the client by the PROXY protocol', { timeout: 120_000 }, async (t) => {
  const certs = tempDir(t, 'certs');
  await certificate(certs, 'default', 'nginx1.localhost');
  const gateway = await startGateway(t, `[gateway.tls]
listen = "[::1]:{port}"
certificates = "${certs}"`);
  const port = gateway.ports.gateway;
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);

  const ports = { nginx: await freePort(), haproxy: await freePort(), closed: await freePort() };
  const dir = tempDir(t, 'servers');
  const begin = (name, args) => {
    const program = new Program(name, args, { name, log: path.join(dir, `${name}.log`) });
    t.after(() => program.stop());
  };
  fs.writeFileSync(path.join(dir, 'nginx.conf'), NGINX(dir, ports.nginx));
  begin('nginx', ['-c', path.join(dir, 'nginx.conf')]);
  const behind = await serve(t, (request, response) => response.end(request.headers['x-told']));
  fs.writeFileSync(path.join(dir, 'haproxy.cfg'), HAPROXY(ports.haproxy, behind.address().port));
  begin('haproxy', ['-db', '-f', path.join(dir, 'haproxy.cfg')]);
  for (const name of ['nginx', 'haproxy']) {
    await until(name, () => new Promise((done) => {
      const socket = net.connect(ports[name], '127.0.0.1', () => { socket.destroy(); done(true); });
      socket.on('error', () => done(false));
    }));
  }
  // An application that keeps the header which it was sent, and speaks WebSocket.
  const sockets = new WebSocketServer({ noServer: true });
  const app = http.createServer();
  app.on('upgrade', (request, socket, head) => sockets.handleUpgrade(request, socket, head, (socket_) => {
    socket_.on('message', (data) => socket_.send(`${socket.told} ${data}`));
  }));
  const front = net.createServer((socket) => socket.once('readable', () => {
    const bytes = socket.read();
    const end = bytes.indexOf('\r\n');
    socket.told = bytes.toString('latin1', 0, end).split(' ').slice(0, 3).join(' ');
    socket.unshift(bytes.subarray(end + 2));
    app.emit('connection', socket);
  }));
  await new Promise((done) => { front.listen(0, '127.0.0.1', done); });
  t.after(() => front.close());

  const services = [];
  for (const proxyProtocol of ['v1', 'v2']) {
    for (const name of ['nginx', 'haproxy']) {
      const host = `${name}${proxyProtocol.slice(1)}`;
      services.push({
        service: host, routes: [{ host: `${host}.localhost` }],
        endpoints: [{ instance: `${host}-1`, port: ports[name], proxyProtocol }, { instance: `${host}-2`, port: ports.closed, proxyProtocol }],
      });
    }
  }
  services.push({ service: 'app', routes: [{ host: 'app.localhost' }], endpoints: [{ instance: 'app-1', port: front.address().port, proxyProtocol: 'v1' }] });
  await lighthouse.publish(services);
  await until('the routes', async () => (await ask(port, 'nginx1.localhost', '127.0.0.9')).startsWith('127.0.0.9'));

  for (const version of ['1', '2']) {
    await t.test(`version ${version}: a client that keeps its connection, with an endpoint that takes none`, async () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      for (let i = 0; i < 20; i += 1) {
        assert.equal(await ask(port, `nginx${version}.localhost`, '127.0.0.9', agent), '127.0.0.9 127.0.0.1 1');
        assert.equal(await ask(port, `haproxy${version}.localhost`, '127.0.0.9', agent), '127.0.0.9');
      }
      agent.destroy();
    });
    await t.test(`version ${version}: clients at once are never mixed`, async () => {
      const clients = ['127.0.0.11', '127.0.0.12', '127.0.0.13'];
      await Promise.all(clients.flatMap((from) => ['nginx', 'haproxy'].map(async (name) => {
        const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
        for (let i = 0; i < 60; i += 1) {
          assert.equal((await ask(port, `${name}${version}.localhost`, from, agent)).split(' ')[0], from);
        }
        agent.destroy();
      })));
    });
    await t.test(`version ${version}: an IPv6 client, over HTTP/1.1 and HTTP/2`, async () => {
      for (const protocol of ['--http1.1', '--http2']) {
        for (const [name, told] of [['nginx', '::1 ::1 1'], ['haproxy', '::1']]) {
          const host = `${name}${version}.localhost:${gateway.ports.tls}`;
          const result = await run('curl', ['-sk', '--max-time', '10', protocol, '--resolve', `${host}:[::1]`, `https://${host}/`]);
          assert.equal(result.stdout, told, result.stderr);
        }
      }
    });
  }
  await t.test('a WebSocket', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: 'app.localhost' }, localAddress: '127.0.0.9' });
    const said = new Promise((done, fail) => {
      socket.on('message', (data) => done(String(data)));
      socket.on('error', fail);
    });
    socket.on('open', () => socket.send('hello'));
    assert.equal(await said, 'PROXY TCP4 127.0.0.9 hello');
    socket.close();
  });
});

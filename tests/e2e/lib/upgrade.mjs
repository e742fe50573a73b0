// A gateway in a node of its own, whose lighthouse the test plays, for tests that exchange its executable; and
// clients of every kind that count what fails.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import path from 'node:path';
import { certificate } from './certificates.mjs';
import { Cloud } from './cloud.mjs';
import { FakeLighthouse } from './lighthouse.mjs';
import { freePort } from './ports.mjs';
import { CANDELA, isAlive, run } from './program.mjs';
import { sleep, until } from './wait.mjs';

export async function startUpgradable(t, { workers = 2, drain = '10s', env = {} } = {}) {
  const edge = {};
  // What took over is nobody's child here, so it goes before the cloud, which looks for what is left.
  t.after(async () => {
    if (edge.pid === undefined || !isAlive(edge.pid)) return;
    process.kill(edge.pid, 'SIGTERM');
    await edge.ended(edge.pid).catch(() => process.kill(edge.pid, 'SIGKILL'));
  });
  const cloud = new Cloud(t);
  const data = path.join(cloud.dir, 'data');
  const certs = path.join(cloud.dir, 'certs');
  fs.mkdirSync(certs);
  await certificate(certs, 'default', 'web.localhost');
  const ports = { bus: await freePort(), core: await freePort(), http: await freePort(), tls: await freePort(), node: await freePort() };
  assert.equal((await run(CANDELA, ['init', '--data-dir', data])).code, 0);
  const core = path.join(cloud.dir, 'core.toml');
  fs.writeFileSync(core, `[node]\nname = "core"\nroles = ["bus"]\ndata_dir = "${data}"\nworkers = 1\nendpoint = "127.0.0.1:${ports.core}"\n`
    + `[bus]\nlisten = "127.0.0.1:${ports.bus}"\n`);
  cloud.start('core', ['node', '--config', core], { cwd: cloud.dir });
  await cloud.ready('core', ports.core);
  const profile = path.join(cloud.dir, 'gw.toml');
  const write = (more = {}) => fs.writeFileSync(profile, `[node]
name = "gw"
roles = ["gateway"]
data_dir = "${path.join(cloud.dir, 'gw')}"
workers = ${more.workers ?? workers}
endpoint = "127.0.0.1:${ports.node}"
drain_timeout = "${drain}"
[bus]
url = "127.0.0.1:${ports.bus}"
credentials = "${path.join(data, 'identity/creds/gateway.creds')}"
[gateway]
listen = "127.0.0.1:${ports.http}"
${more.gateway ?? ''}
[gateway.tls]
listen = "127.0.0.1:${ports.tls}"
certificates = "${certs}"
`);
  write();
  const gateway = cloud.start('gw', ['node', '--config', profile], { cwd: cloud.dir, env });
  const lighthouse = await FakeLighthouse.start(t, data, `127.0.0.1:${ports.bus}`);
  Object.assign(edge, { cloud, profile, ports, write, lighthouse, pid: gateway.pid, log: () => gateway.output() });
  edge.upgrade = async (...args) => {
    const result = await run(CANDELA, ['upgrade', '--config', profile, ...args]);
    if (result.code === 0) {
      edge.before = edge.pid;
      edge.pid = Number(result.stdout);
    }
    return result;
  };
  edge.ended = (pid) => until(`process ${pid} to end`, () => !isAlive(pid), { timeout: 30_000 });
  return edge;
}

const HOST = 'web.localhost';
const settle = (sent) => new Promise((done, fail) => {
  sent.on('response', (answer) => {
    answer.resume();
    answer.on('end', () => done(answer.statusCode));
    answer.on('aborted', () => fail(new Error('cut short')));
  });
  sent.on('error', fail);
  sent.setTimeout(10_000, () => sent.destroy(new Error('no answer within 10 s')));
  sent.end();
});

// Calls `once` again and again until stop(), and gathers what it rejects with.
class Client {
  constructor(name, once) {
    Object.assign(this, { name, done: 0, failures: [], running: true });
    this.loop = (async () => {
      while (this.running) {
        try {
          assert.equal(await once(), 200);
          this.done += 1;
        } catch (error) {
          this.failures.push(`${new Date().toISOString()} ${error.code ?? ''} ${error.message}`);
        }
        await sleep(2);
      }
    })();
  }
}

// Over one HTTP/2 connection after the other: after GOAWAY a client opens a new one. A request that it had not sent
// by then its own library refuses; nobody has seen it, and it is to be sent again (RFC 9113 §8.7).
function overHttp2(url, options) {
  const once = requestsOverHttp2(url, options);
  return () => once().catch((error) => {
    if (!/NGHTTP2_REFUSED_STREAM/.test(error.message)) throw error;
    return once();
  });
}

function requestsOverHttp2(url, options) {
  let session;
  return () => new Promise((done, fail) => {
    if (!session || session.closed || session.destroyed) {
      session = http2.connect(url, options);
      const mine = session;
      mine.on('error', fail);
      mine.on('goaway', () => { if (session === mine) session = undefined; });
    }
    const stream = session.request({ ':path': '/', ':authority': HOST });
    let status;
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.on('error', fail);
    stream.on('end', () => done(status));
    stream.resume();
    stream.setTimeout(10_000, () => stream.destroy(new Error('no answer within 10 s')));
  });
}

export class Clients {
  constructor({ http: clear, tls }) {
    const headers = { host: HOST };
    const secure = { rejectUnauthorized: false, servername: HOST };
    const kept = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const keptTls = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const at = (port, agent, more) => ({ host: '127.0.0.1', port, headers, agent, ...more });
    this.all = [
      new Client('keep-alive', () => settle(http.request(at(clear, kept)))),
      new Client('connection: close', () => settle(http.request(at(clear, false)))),
      new Client('connection: close', () => settle(http.request(at(clear, false)))),
      new Client('TLS keep-alive', () => settle(https.request(at(tls, keptTls, secure)))),
      new Client('TLS connection: close', () => settle(https.request(at(tls, false, secure)))),
      new Client('h2c', overHttp2(`http://127.0.0.1:${clear}`, {})),
      new Client('h2', overHttp2(`https://127.0.0.1:${tls}`, secure)),
    ];
  }

  async stop() {
    for (const client of this.all) client.running = false;
    await Promise.all(this.all.map((client) => client.loop));
    for (const client of this.all) {
      assert.deepEqual(client.failures, [], client.name);
      assert.ok(client.done > 0, client.name);
    }
    return this.all.reduce((sum, client) => sum + client.done, 0);
  }
}

// A bus, a lighthouse and a host in one node, and two gateways with HTTPS in nodes of their own, on one port of
// 127.0.0.1 and 127.0.0.2: what is behind one name with two addresses.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import tls from 'node:tls';
import { Cloud } from './cloud.mjs';
import { freePort } from './ports.mjs';
import { CANDELA, run } from './program.mjs';

export const GATEWAYS = ['127.0.0.1', '127.0.0.2'];

// `lighthouse` is added to the profile of the core node, `tls` to [gateway.tls].
export async function startEdge(t, { lighthouse = '', tlsSection = '', start = true } = {}) {
  const edge = new Cloud(t);
  const data = path.join(edge.dir, 'data');
  const made = await run(CANDELA, ['init', '--data-dir', data]);
  assert.equal(made.code, 0, made.stderr);
  edge.data = data;
  edge.address = `unix:${path.join(data, 'lighthouse.sock')}`;
  edge.ports = { bus: await freePort(), api: await freePort(), core: await freePort(), http: await freePort(), tls: await freePort() };
  edge.gatewayPort = edge.ports.http;
  edge.lighthouseSection = lighthouse;

  edge.startCore = async () => {
    const file = path.join(edge.dir, 'core.toml');
    fs.writeFileSync(file, `[node]
name = "core"
roles = ["bus", "lighthouse", "host"]
data_dir = "${data}"
workers = 1
endpoint = "127.0.0.1:${edge.ports.core}"
[bus]
listen = "127.0.0.1:${edge.ports.bus}"
[lighthouse]
listen = "127.0.0.1:${edge.ports.api}"
${edge.lighthouseSection}
`);
    edge.start('core', ['node', '--config', file], { cwd: edge.dir });
    await edge.ready('core', edge.ports.core);
  };
  edge.startGateway = async (index) => {
    const name = `gw-${index + 1}`;
    const folder = path.join(edge.dir, name);
    edge.ports[name] ??= await freePort();
    const file = path.join(edge.dir, `${name}.toml`);
    fs.writeFileSync(file, `[node]
name = "${name}"
roles = ["gateway"]
data_dir = "${folder}"
workers = 2
endpoint = "127.0.0.1:${edge.ports[name]}"
[bus]
url = "127.0.0.1:${edge.ports.bus}"
credentials = "${path.join(data, 'identity/creds/gateway.creds')}"
[gateway]
listen = "${GATEWAYS[index]}:${edge.ports.http}"
[gateway.tls]
listen = "${GATEWAYS[index]}:${edge.ports.tls}"
${tlsSection}
`);
    edge.start(name, ['node', '--config', file], { cwd: edge.dir });
    return name;
  };
  edge.gatewayReady = (index) => edge.ready(`gw-${index + 1}`, edge.ports[`gw-${index + 1}`]);

  // The certificate that a gateway shows for a name; rejects where it shows none.
  edge.shown = (index, servername, options = {}) => new Promise((done, fail) => {
    const socket = tls.connect({
      host: GATEWAYS[index], port: edge.ports.tls, servername, rejectUnauthorized: false, timeout: 10_000, ...options,
    }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      done(certificate);
    });
    socket.on('timeout', () => socket.destroy(new Error('no TLS handshake within 10 s')));
    socket.on('error', fail);
  });
  edge.ask = (index, host, target) => new Promise((done, fail) => {
    const sent = http.get({ host: GATEWAYS[index], port: edge.ports.http, path: target, headers: { host }, agent: false }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => { text += bytes; });
      answer.on('end', () => done({ status: answer.statusCode, headers: answer.headers, text }));
    });
    sent.on('error', fail);
  });
  edge.certificates = () => edge.ctlJson('certificates list');
  edge.metrics = async () => (await new Promise((done, fail) => {
    http.get({ host: '127.0.0.1', port: edge.ports.core, path: '/metrics', agent: false }, (answer) => {
      let text = '';
      answer.on('data', (bytes) => { text += bytes; });
      answer.on('end', () => done(text));
    }).on('error', fail);
  }));

  if (start) {
    await edge.startCore();
    for (let i = 0; i < GATEWAYS.length; i += 1) await edge.startGateway(i);
    for (let i = 0; i < GATEWAYS.length; i += 1) await edge.gatewayReady(i);
  }
  return edge;
}

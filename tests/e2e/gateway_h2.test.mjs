// The gateway's HTTPS and HTTP/2, by curl, nghttp, h2load and Node's own client.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import { certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { rss, run, tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const MIB = 1024 * 1024;

async function startHttps(t) {
  const certs = tempDir(t, 'certs');
  const fingerprints = {
    web: await certificate(certs, 'default', 'web.localhost'),
    wild: await certificate(certs, 'wild', '*.wild.localhost'),
  };
  const gateway = await startGateway(t, `[gateway.tls]\nlisten = "127.0.0.1:{port}"\ncertificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const slow = [];
  const server = await serve(t, (incoming, response) => {
    const { pathname, searchParams } = new URL(incoming.url, 'http://x');
    if (pathname === '/echo') {
      incoming.pipe(response);
    } else if (pathname === '/bytes') {
      let left = Number(searchParams.get('count'));
      const piece = Buffer.alloc(64 * 1024, 'b');
      const more = () => {
        while (left > 0) {
          const part = piece.subarray(0, Math.min(left, piece.length));
          left -= part.length;
          if (!response.write(part)) { response.once('drain', more); return; }
        }
        response.end();
      };
      more();
    } else if (pathname === '/slow') {
      slow.push(response);
    } else {
      response.end(`${incoming.headers.host} ${incoming.headers['x-forwarded-proto']} ${incoming.httpVersion}`);
    }
  });
  const routes = [{ host: 'web.localhost' }, { host: 'a.wild.localhost' }];
  await lighthouse.publish([{ service: 'web', routes, endpoints: [{ instance: 'web-1', port: server.address().port }] }]);
  return { ...gateway, lighthouse, certs, fingerprints, slow };
}

// One request on an HTTP/2 session.
function ask(session, fields, body) {
  return new Promise((done, fail) => {
    const stream = session.request(fields, { endStream: body === undefined });
    const answer = { text: '' };
    stream.on('response', (head) => { Object.assign(answer, { status: head[':status'], head }); });
    stream.on('data', (piece) => { answer.text += piece; });
    stream.on('end', () => done(answer));
    stream.on('error', fail);
    if (body !== undefined) stream.end(body);
  });
}

test('HTTPS and HTTP/2 through the gateway', { timeout: 120_000 }, async (t) => {
  const gateway = await startHttps(t);
  const { ports } = gateway;
  const curl = (...args) => run('curl', ['-sk', '--max-time', '60', '--connect-to', `::127.0.0.1:${ports.tls}`, ...args]);

  await t.test('curl speaks HTTP/2 and HTTP/1.1 over TLS', async () => {
    const h2 = await curl('--http2', '-w', ' %{http_version}', 'https://web.localhost/');
    assert.equal(h2.stdout, 'web.localhost https 1.1 2', h2.stderr);
    const h1 = await curl('--http1.1', '-w', ' %{http_version}', 'https://web.localhost/');
    assert.equal(h1.stdout, 'web.localhost https 1.1 1.1', h1.stderr);
    const old = await curl('--tls-max', '1.1', 'https://web.localhost/');
    assert.notEqual(old.code, 0);
  });

  await t.test('curl speaks HTTP/2 without TLS, by prior knowledge', async () => {
    const answer = await run('curl', ['-s', '--http2-prior-knowledge', '-H', 'Host: web.localhost', '-w', ' %{http_version}', `http://127.0.0.1:${ports.gateway}/`]);
    assert.equal(answer.stdout, 'web.localhost http 1.1 2', answer.stderr);
  });

  await t.test('the name asked for decides the certificate', async () => {
    const shown = (servername) => new Promise((done, fail) => {
      const socket = tls.connect({ port: ports.tls, servername, rejectUnauthorized: false }, () => {
        done(socket.getPeerX509Certificate().fingerprint256);
        socket.destroy();
      }).on('error', fail);
    });
    assert.equal(await shown('web.localhost'), gateway.fingerprints.web);
    assert.equal(await shown('a.wild.localhost'), gateway.fingerprints.wild);
    assert.equal(await shown('unknown.localhost'), gateway.fingerprints.web);
  });

  await t.test('bodies stream both ways, with flat memory', async () => {
    const { pid } = gateway.cloud.node('gw');
    const before = rss(pid);
    const down = await curl('--http2', '-o', '/dev/null', '-w', '%{size_download}', `https://web.localhost/bytes?count=${256 * MIB}`);
    assert.equal(down.stdout, String(256 * MIB), down.stderr);
    const file = path.join(tempDir(t, 'upload'), 'body');
    fs.writeFileSync(file, crypto.randomBytes(32 * MIB));
    const up = await curl('--http2', '--data-binary', `@${file}`, '-o', `${file}.back`, 'https://web.localhost/echo');
    assert.equal(up.code, 0, up.stderr);
    assert.ok(fs.readFileSync(file).equals(fs.readFileSync(`${file}.back`)));
    const grown = (rss(pid) - before) / MIB;
    assert.ok(grown < 24, `grew by ${grown} MiB`);
  });

  await t.test('h2load: many streams on many connections, every request answered', async () => {
    for (const url of [`https://web.localhost:${ports.tls}/`, `http://web.localhost:${ports.gateway}/`]) {
      const load = await run('h2load', ['-n', '8000', '-c', '16', '-m', '16', '--connect-to', `127.0.0.1:${new URL(url).port}`, url]);
      assert.match(load.stdout, /8000 total, 8000 started, 8000 done, 8000 succeeded, 0 failed, 0 errored/, load.stdout + load.stderr);
      assert.match(load.stdout, /status codes: 8000 2xx/);
    }
  });

  await t.test('nghttp finds nothing to complain of', async () => {
    const answer = await run('nghttp', ['-v', '-H', ':authority: web.localhost', `http://127.0.0.1:${ports.gateway}/`]);
    assert.match(answer.stdout, /:status: 200/);
    assert.doesNotMatch(answer.stdout, /PROTOCOL_ERROR|INTERNAL_ERROR/);
  });

  await t.test('a new certificate is shown after SIGHUP, and open connections go on', async () => {
    const session = http2.connect(`https://web.localhost:${ports.tls}`, { rejectUnauthorized: false, host: '127.0.0.1' });
    assert.equal((await ask(session, { ':path': '/' })).status, 200);
    const fresh = await certificate(gateway.certs, 'default', 'web.localhost');
    gateway.cloud.node('gw').kill('SIGHUP');
    await until('the new certificate', () => new Promise((done, fail) => {
      const socket = tls.connect({ port: ports.tls, servername: 'web.localhost', rejectUnauthorized: false }, () => {
        done(socket.getPeerX509Certificate().fingerprint256 === fresh);
        socket.destroy();
      }).on('error', fail);
    }));
    assert.equal((await ask(session, { ':path': '/' })).status, 200);

    // A certificate without its key changes nothing.
    fs.rmSync(path.join(gateway.certs, 'default.key'));
    gateway.cloud.node('gw').kill('SIGHUP');
    await until('the refusal', () => /gateway\.tls.*default\.key/.test(gateway.cloud.node('gw').tail()));
    assert.equal((await ask(session, { ':path': '/' })).status, 200);
    session.close();
  });

  await t.test('a stop says GOAWAY and finishes what is in flight', async () => {
    const session = http2.connect(`http://web.localhost:${ports.gateway}`, { host: '127.0.0.1' });
    const goaways = [];
    session.on('goaway', (code, last) => goaways.push([code, last]));
    const pending = ask(session, { ':path': '/slow', ':authority': 'web.localhost' });
    await until('the request to arrive', () => gateway.slow.length === 1);
    gateway.cloud.node('gw').kill('SIGTERM');
    await until('the last GOAWAY', () => goaways.some(([, last]) => last === 1));
    gateway.slow[0].end('done in time');
    const answer = await pending;
    assert.equal(answer.text, 'done in time');
    assert.ok(goaways.every(([code]) => code === 0));
    await until('the node to end', () => gateway.cloud.node('gw').how);
    assert.equal(gateway.cloud.node('gw').how.code, 0);
  });
});

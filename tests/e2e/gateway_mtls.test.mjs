// Routes that let clients with a certificate in: HTTP/1.1 and HTTP/2, who is refused and how, what the service is told, and
// that no resumed session and no other host's connection stands for a certificate.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';
import test from 'node:test';
import tls from 'node:tls';
import { X509Certificate } from 'node:crypto';
import { Authority, certificate } from './lib/certificates.mjs';
import { startGateway } from './lib/gateway.mjs';
import { FakeLighthouse } from './lib/lighthouse.mjs';
import { run, tempDir } from './lib/program.mjs';
import { serve } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const HOSTS = ['open.localhost', 'safe.localhost', 'other.localhost', 'maybe.localhost'];
const FORGED = { 'client-cert': ':Zm9yZ2Vk:', 'client-cert-chain': ':Zm9yZ2Vk:', 'x-forwarded-client-subject': 'CN=root', client_cert: ':Zm9yZ2Vk:' };

test('client certificates by route', async (t) => {
  const certs = tempDir(t, 'certs');
  const dir = tempDir(t, 'clients');
  await certificate(certs, 'default', ...HOSTS);
  const authority = await Authority.make(dir, 'people');
  const alice = await authority.issue('alice', { names: ['alice'] });
  const elsewhere = await Authority.make(dir, 'elsewhere');
  const mallory = await elsewhere.issue('mallory', { names: ['mallory'] });
  const gateway = await startGateway(t, `[gateway.tls]\nlisten = "127.0.0.1:{port}"\ncertificates = "${certs}"`);
  const lighthouse = await FakeLighthouse.start(t, gateway.data, gateway.server);
  const server = await serve(t, (request, response) => response.end(JSON.stringify(request.headers)));
  const route = (host, ca, required) => ({ host, path: '/', client_certificate: { ca, required } });
  const publish = (ca) => lighthouse.publish([{ service: 'web', endpoints: [{ instance: 'web-1', port: server.address().port }],
    routes: [{ host: 'open.localhost' }, route('safe.localhost', ca, true), route('other.localhost', elsewhere.pem, true), route('maybe.localhost', ca, false)] }]);
  await publish(authority.pem);

  // One HTTP/1.1 request, over TLS with this server name, for that host.
  const ask = (host, { pair, name = host, headers = {}, ...options } = {}) => new Promise((done, fail) => {
    const socket = tls.connect({ host: '127.0.0.1', port: gateway.ports.tls, servername: name, rejectUnauthorized: false,
      cert: pair?.cert, key: pair?.key, ALPNProtocols: ['http/1.1'], ...options });
    socket.on('error', fail);
    let session;
    socket.on('session', (ticket) => { session = ticket; });
    socket.on('secureConnect', () => {
      const sent = http.request({ createConnection: () => socket, headers: { host, ...headers } }, (answer) => {
        let text = '';
        answer.on('data', (bytes) => { text += bytes; });
        answer.on('end', () => {
          const resumed = socket.isSessionReused();
          socket.destroy();
          done({ status: answer.statusCode, text, resumed, session, connection: answer.headers.connection, json: () => JSON.parse(text) });
        });
      });
      sent.on('error', fail);
      sent.end();
    });
  });
  const openH2 = async (name, pair) => {
    const client = http2.connect(`https://127.0.0.1:${gateway.ports.tls}`, { servername: name, rejectUnauthorized: false, cert: pair?.cert, key: pair?.key });
    t.after(() => client.destroy());
    await new Promise((done, fail) => { client.on('connect', done); client.on('error', fail); });
    return (host, headers = {}) => new Promise((done, fail) => {
      const stream = client.request({ ':path': '/', ':authority': host, ...headers });
      let status;
      let text = '';
      stream.on('response', (answer) => { status = answer[':status']; });
      stream.on('data', (bytes) => { text += bytes; });
      stream.on('end', () => done({ status, text, json: () => JSON.parse(text) }));
      stream.on('error', fail);
    });
  };
  const leaf = `:${new X509Certificate(alice.cert).raw.toString('base64')}:`;
  const knowsAlice = (headers) => {
    assert.equal(headers['client-cert'], leaf);
    assert.equal(headers['x-forwarded-client-subject'], 'CN=alice');
    assert.equal(headers['client-cert-chain'], undefined);
  };
  const knowsNobody = (headers) => {
    for (const name of Object.keys(FORGED)) assert.equal(headers[name], undefined, name);
  };

  await t.test('HTTP/1.1: only who has a certificate of the authority comes in', async () => {
    const good = await ask('safe.localhost', { pair: alice, headers: FORGED });
    assert.equal(good.status, 200, good.text);
    knowsAlice(good.json());
    for (const [pair, why] of [[undefined, /a client certificate is needed/], [mallory, /not taken: .*"mallory" is not trusted/]]) {
      const refused = await ask('safe.localhost', { pair });
      assert.equal(refused.status, 403);
      assert.match(refused.text, why);
    }
    assert.equal((await ask('other.localhost', { pair: mallory })).status, 200);
    assert.equal((await ask('other.localhost', { pair: alice })).status, 403);
  });

  await t.test('HTTP/2, too', async () => {
    const good = await (await openH2('safe.localhost', alice))('safe.localhost', FORGED);
    assert.equal(good.status, 200, good.text);
    knowsAlice(good.json());
    assert.equal((await (await openH2('safe.localhost'))('safe.localhost')).status, 403);
    assert.equal((await (await openH2('safe.localhost', mallory))('safe.localhost')).status, 403);
  });

  await t.test('where none is required one may come without, but not with a bad one', async () => {
    const none = await ask('maybe.localhost', { headers: FORGED });
    assert.equal(none.status, 200);
    knowsNobody(none.json());
    knowsAlice((await ask('maybe.localhost', { pair: alice })).json());
    assert.equal((await ask('maybe.localhost', { pair: mallory })).status, 403);
  });

  await t.test('other routes ask for none, and pass on nothing that clients say of one', async () => {
    const open = await ask('open.localhost', { pair: alice, headers: FORGED });
    assert.equal(open.status, 200);
    knowsNobody(open.json());
    const clear = await gateway.get('/', { host: 'open.localhost', headers: FORGED });
    knowsNobody(JSON.parse(clear.text ?? clear.body));
    const shown = await run('openssl', ['s_client', '-connect', `127.0.0.1:${gateway.ports.tls}`, '-servername', 'safe.localhost'], { input: '' });
    assert.match(shown.stdout, /Acceptable client certificate CA names\nCN = people/);
    const unasked = await run('openssl', ['s_client', '-connect', `127.0.0.1:${gateway.ports.tls}`, '-servername', 'open.localhost'], { input: '' });
    assert.match(unasked.stdout, /No client certificate CA names sent/);
  });

  await t.test('without TLS nobody comes in', async () => {
    const clear = await gateway.get('/', { host: 'safe.localhost', headers: FORGED });
    assert.equal(clear.status, 403);
  });

  await t.test("another host's connection is misdirected: 421, and HTTP/1.1 closes it", async () => {
    for (const options of [{ name: 'open.localhost', pair: alice }, { name: 'other.localhost', pair: alice }, { name: '', pair: alice }]) {
      const answer = await ask('safe.localhost', options);
      assert.equal(answer.status, 421, options.name);
      assert.equal(answer.connection, 'close');
    }
    const h2 = await openH2('maybe.localhost', alice);
    assert.equal((await h2('safe.localhost')).status, 421);
    assert.equal((await h2('open.localhost')).status, 200);
    knowsAlice((await h2('maybe.localhost')).json());
  });

  await t.test('no session stands for a certificate', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      const only = { minVersion: version, maxVersion: version };
      const began = await ask('safe.localhost', { pair: alice, ...only });
      assert.equal(began.status, 200);
      if (version === 'TLSv1.3') assert.equal(began.session, undefined, 'a ticket was given');
      const open = await ask('open.localhost', only);
      // That one is good for its own host, so that this test would see another resumed.
      assert.ok((await ask('open.localhost', { ...only, session: open.session })).resumed, version);
      for (const session of [began.session, open.session].filter(Boolean)) {
        for (const name of ['safe.localhost', 'other.localhost', 'maybe.localhost']) {
          const answer = await ask(name, { ...only, session });
          assert.equal(answer.resumed, false, `${version} ${name}`);
          assert.equal(answer.status, name === 'maybe.localhost' ? 200 : 403);
          if (name === 'maybe.localhost') knowsNobody(answer.json());
        }
      }
    }
  });

  await t.test('another authority holds at once for connections that are open', async () => {
    const h2 = await openH2('safe.localhost', alice);
    assert.equal((await h2('safe.localhost')).status, 200);
    await publish(elsewhere.pem);
    await until('the change', async () => (await h2('safe.localhost')).status === 403);
    assert.equal((await ask('safe.localhost', { pair: mallory })).status, 200);
  });

  await t.test('a host that begins to ask has clients make a connection that was asked', async () => {
    const h2 = await openH2('open.localhost', mallory);
    assert.equal((await h2('open.localhost')).status, 200);
    await lighthouse.publish([{ service: 'web', endpoints: [{ instance: 'web-1', port: server.address().port }],
      routes: [route('open.localhost', elsewhere.pem, true)] }]);
    assert.equal((await h2('open.localhost')).status, 421);
    assert.equal((await (await openH2('open.localhost', mallory))('open.localhost')).status, 200);
  });

  await t.test('expired certificates are refused', async () => {
    const expired = await expiredPair(elsewhere);
    const answer = await ask('open.localhost', { pair: expired });
    assert.equal(answer.status, 403);
    assert.match(answer.text, /expired on/);
  });
});

async function expiredPair(authority) {
  const file = (end) => path.join(authority.dir, `expired.${end}`);
  const made = [];
  made.push(await run('openssl', ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=expired', '-keyout', file('key'), '-out', file('csr')]));
  made.push(await run('openssl', ['x509', '-req', '-in', file('csr'), '-CA', authority.file, '-CAkey', authority.keyFile, '-CAcreateserial', '-days', '-1', '-out', file('pem')]));
  for (const one of made) assert.equal(one.code, 0, one.stderr);
  return { cert: fs.readFileSync(file('pem'), 'utf8'), key: fs.readFileSync(file('key'), 'utf8') };
}

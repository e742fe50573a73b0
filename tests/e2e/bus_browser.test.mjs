// A page in a real browser speaks NATS to the bus: by nats.ws, whose ES module browsers load as it is, and by wsconnect of
// @nats-io/nats-core.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { StringCodec } from 'nats';
import { bundle, startBrowser } from './lib/browser.mjs';
import { startBus } from './lib/bus.mjs';
import { freePort } from './lib/ports.mjs';

const sc = StringCodec();
const NATS_WS = path.join(path.dirname(createRequire(import.meta.url).resolve('nats.ws')), '../esm/nats.js');

// Both libraries have these under the same names, but for the function that connects.
const PAGE = `<!doctype html><script type="module">
const query = new URLSearchParams(location.search);
const client = query.get('client');
const text = new TextDecoder();
const bytes = new TextEncoder();
const report = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) });

async function run() {
  const loaded = await import('/' + client + '.mjs');
  const nats = loaded.default ?? loaded;
  const creds = await (await fetch('/creds')).text();
  const connection = await (nats.wsconnect ?? nats.connect)({
    servers: query.get('bus'), authenticator: nats.credsAuthenticator(bytes.encode(creds)), reconnect: false, timeout: 10000 });
  const result = { agent: navigator.userAgent, server: connection.info.version };

  // Publish and subscribe.
  const numbers = [];
  const all = new Promise((done) => connection.subscribe('n.*', { callback: (error, message) => {
    numbers.push(Number(text.decode(message.data)));
    if (numbers.length === 2000) done();
  } }));
  await connection.flush();
  for (let i = 0; i < 2000; ++i) connection.publish('n.' + (i % 3), bytes.encode(String(i)));
  await all;
  result.inOrder = numbers.every((number, i) => number === i);

  // Requests: to the test, and from it.
  connection.subscribe('page.double', { queue: 'pages', callback: (error, message) => message.respond(bytes.encode(String(2 * Number(text.decode(message.data))))) });
  await connection.flush();
  const heads = nats.headers();
  heads.set('Question', 'What is it?');
  const answer = await connection.request('test.ask', new Uint8Array(900000).fill(42), { timeout: 20000, headers: heads });
  result.answer = text.decode(answer.data);
  result.answerHeader = answer.headers.get('Answer');
  result.nobody = await connection.request('nobody.there', undefined, { timeout: 5000 }).then(() => 'answered', (error) => [error.code, error.name, error.cause?.name].join(' '));
  await connection.drain();
  return result;
}
run().then(report, (error) => report({ error: error.code ?? error.name, text: String(error.message) }));
</script>`;

test('pages speak to the bus by official clients', { timeout: 180_000 }, async (t) => {
  const port = await freePort();
  const files = { '/': PAGE, '/ws.mjs': fs.readFileSync(NATS_WS, 'utf8'), '/core.mjs': bundle('@nats-io/nats-core', import.meta.url) };
  const browser = await startBrowser(t, files);
  const bus = await startBus(t, `[bus.websocket]\nlisten = "127.0.0.1:${port}"\nallowed_origins = ["${browser.origin}"]\n`);
  files['/creds'] = (await bus.mint('default', {}, {})).creds;
  const tester = await bus.user();
  tester.subscribe('test.ask', {
    callback: async (_, message) => {
      const doubled = sc.decode((await tester.request('page.double', sc.encode('21'), { timeout: 10_000 })).data);
      const heads = message.headers;
      heads.set('Answer', `${message.headers.get('Question')} ${doubled}`);
      message.respond(sc.encode(`${message.data.length} bytes, all ${message.data.every((byte) => byte === 42) ? 42 : 'sorts'}`), { headers: heads });
    },
  });
  await tester.flush();
  const url = (client, origin = browser.origin) => `${origin}/?client=${client}&bus=${encodeURIComponent(`ws://127.0.0.1:${port}`)}`;
  for (const client of ['ws', 'core']) {
    await t.test(client === 'ws' ? 'nats.ws' : '@nats-io/nats-core', async () => {
      const result = await browser.visit(url(client));
      assert.equal(result.error, undefined, `${result.error}: ${result.text}`);
      assert.match(result.agent, /Chrom/);
      assert.equal(result.inOrder, true);
      assert.equal(result.answer, '900000 bytes, all 42');
      assert.equal(result.answerHeader, 'What is it? 42');
      assert.match(String(result.nobody), client === 'ws' ? /503/ : /NoResponders/);
    });
  }
  await t.test('a page of an origin that is not allowed is refused', async () => {
    const result = await browser.visit(url('ws', `http://localhost:${browser.port}`));
    assert.ok(result.error, JSON.stringify(result));
  });
});

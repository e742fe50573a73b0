// gRPC clients and a gRPC service for tests: the npm packages, unmodified.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { copyModules } from './apps.mjs';
import { makeService } from './cloud.mjs';
import { within } from './wait.mjs';

const { Echo, start } = createRequire(import.meta.url)('./grpc_echo.cjs');
const LIB = path.dirname(fileURLToPath(import.meta.url));

// A folder with the echo service, to deploy.
export function echoService(t, { name = 'echo', protocol = 'protocol = "h2c"', instances = 1, version = '1' } = {}) {
  const dir = makeService(t, name, `name = "${name}"
command = ["node", "app.js"]
${protocol}
instances = ${instances}
[env]
VERSION = "${version}"
[probe]
tcp = true
interval = "100ms"
[[route]]
host = "${name}.localhost"
`, {
    'app.js': fs.readFileSync(path.join(LIB, 'grpc_echo.cjs')),
    'echo.proto': fs.readFileSync(path.join(LIB, 'echo.proto')),
  });
  // Half of the files are not for the program.
  copyModules(dir, ['@grpc/grpc-js', '@grpc/proto-loader'], { filter: (file) => !/\.(ts|map|md)$|\/grpc-js\/(src|proto)$/.test(file) });
  return dir;
}

// The echo service in the test's own process; returns its port.
export async function startEcho(t) {
  const { server, port } = await start(0);
  t.after(() => server.forceShutdown());
  return port;
}

// A client whose calls are promises or streams. `ca`: over TLS, by a server with a certificate of that authority.
export function echoClient(t, port, { authority = 'echo.localhost', address = '127.0.0.1', ca } = {}) {
  const credentials = ca === undefined ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(ca);
  const client = new Echo(`${address}:${port}`, credentials, {
    'grpc.default_authority': authority,
    'grpc.ssl_target_name_override': authority,
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    // Each client is a connection of its own, and says at once when that fails.
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
  });
  t.after(() => client.close());
  return client;
}

export function metadata(fields = {}) {
  const made = new grpc.Metadata();
  for (const [key, value] of Object.entries(fields)) made.set(key, value);
  return made;
}

// One unary call: {answer, head, trailer, error}; never rejects.
export function unary(client, method, request, { fields = {}, deadline } = {}) {
  return new Promise((done) => {
    const result = {};
    const call = client[method](request, metadata(fields), { deadline: deadline && Date.now() + deadline }, (error, answer) => {
      Object.assign(result, { error, answer });
      if (result.trailer !== undefined) done(result);
    });
    call.on('metadata', (head) => { result.head = head; });
    call.on('status', (status) => {
      result.trailer = status.metadata;
      if ('error' in result) done(result);
    });
    result.cancel = () => call.cancel();
  });
}

// All messages of a stream, to its end.
export async function collect(call) {
  const messages = [];
  for await (const message of call) messages.push(message);
  return messages;
}

const MIB = 1024 * 1024;

// What every way to the service must do.
export async function checkAllKinds(client) {
  const said = await unary(client, 'say', { text: 'hello' }, { fields: { 'x-sent': 'there' } });
  assert.equal(said.error, null);
  assert.match(said.answer.text, /^hello from /);
  assert.deepEqual(said.head.get('x-head'), ['before hello']);
  assert.deepEqual(said.head.get('x-got'), ['there']);
  assert.deepEqual(said.trailer.get('x-trailer'), ['after hello']);

  const counted = await collect(client.count({ value: 5000 }));
  assert.equal(counted.length, 5000);
  assert.ok(counted.every(({ value }, index) => value === index + 1));

  const sum = await new Promise((done, fail) => {
    const call = client.sum(metadata(), (error, answer) => (error ? fail(error) : done(answer.value)));
    for (let value = 1; value <= 1000; value += 1) call.write({ value });
    call.end();
  });
  assert.equal(sum, 500_500);

  // Each message waits for the answer to the one before: nothing may be gathered on the way.
  const chat = client.chat(metadata());
  const heard = [];
  await within(20_000, 'the chat to end', new Promise((done, fail) => {
    chat.on('data', ({ text }) => {
      heard.push(text);
      if (heard.length < 200) chat.write({ text: `line ${heard.length}` });
      else chat.end();
    });
    chat.on('status', ({ code }) => (code === grpc.status.OK ? done() : fail(new Error(`status ${code}`))));
    chat.on('error', fail);
    chat.write({ text: 'line 0' });
  }));
  assert.deepEqual(heard, Array.from({ length: 200 }, (_, index) => `LINE ${index}`));

  const bytes = Buffer.alloc(8 * MIB, 'large');
  const mirrored = await unary(client, 'mirror', { bytes });
  assert.equal(mirrored.error, null);
  assert.ok(bytes.equals(mirrored.answer.bytes));

  const failed = await unary(client, 'say', { text: 'fail' });
  assert.equal(failed.error.code, grpc.status.INVALID_ARGUMENT);
  assert.equal(failed.error.details, 'not that: ä/%');
  assert.deepEqual(failed.trailer.get('x-trailer'), ['after fail']);
}

export { grpc };

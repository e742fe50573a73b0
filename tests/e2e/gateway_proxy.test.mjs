// HTTP through the proxy core, with real clients and raw sockets.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import test from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { Raw, serve, startProxy, watchMemory } from './lib/proxy.mjs';
import { run } from './lib/program.mjs';
import { freePort } from './lib/ports.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const MiB = 1024 * 1024;

// Writes `size` bytes of one pattern as fast as they are taken.
function pour(stream, size, piece = Buffer.alloc(MiB, 'x')) {
  return new Promise((done, fail) => {
    let left = size;
    const more = () => {
      while (left > 0) {
        const part = left >= piece.length ? piece : piece.subarray(0, left);
        left -= part.length;
        if (!stream.write(part)) {
          stream.once('drain', more);
          return;
        }
      }
      stream.end();
      done();
    };
    stream.once('error', fail);
    more();
  });
}

test('pipelined requests are answered in order', async (t) => {
  const seen = [];
  const server = await serve(t, (request, response) => {
    seen.push(request.url);
    // The first takes longest.
    setTimeout(() => response.end(`<${request.url}>`), request.url === '/1' ? 200 : 0);
  });
  const { port } = await startProxy(t, server.target);
  const client = new Raw(port);
  const requests = Array.from({ length: 50 }, (_, i) => `GET /${i + 1} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
  client.send(requests);
  await client.until('</50>');
  const order = [...client.text.matchAll(/<\/(\d+)>/g)].map((match) => Number(match[1]));
  assert.deepEqual(order, Array.from({ length: 50 }, (_, i) => i + 1));
  assert.equal(seen.length, 50);
  client.close();
});

test('a slow reader of 200 MB costs no memory and gets every byte', { timeout: 120_000 }, async (t) => {
  const size = 200 * MiB;
  const server = await serve(t, (request, response) => {
    response.writeHead(200, { 'content-length': size });
    pour(response, size).catch(() => {});
  });
  const { port, pid } = await startProxy(t, server.target);
  const stop = watchMemory(pid);
  let received = 0;
  await new Promise((done, fail) => {
    http.get({ port, host: '127.0.0.1' }, (answer) => {
      answer.on('data', (bytes) => {
        received += bytes.length;
        // Rests now and then: the proxy must wait rather than gather.
        if (received < 20 * MiB && Math.random() < 0.05) {
          answer.pause();
          setTimeout(() => answer.resume(), 50);
        }
      });
      answer.on('end', done);
      answer.on('error', fail);
    }).on('error', fail);
  });
  assert.equal(received, size);
  const memory = stop();
  assert.ok(memory.grown < 8 * MiB, `grew by ${memory.grown} bytes`);
});

test('1 GiB goes down and up, whole, with flat memory', { timeout: 240_000 }, async (t) => {
  const size = 1024 * MiB;
  const piece = crypto.randomBytes(MiB);
  const digest = crypto.createHash('sha1');
  for (let i = 0; i < 1024; i += 1) digest.update(piece);
  const wanted = digest.digest('hex');
  const server = await serve(t, (request, response) => {
    if (request.method === 'GET') {
      pour(response, size, piece).catch(() => {}); // chunked
      return;
    }
    const hash = crypto.createHash('sha1');
    request.on('data', (bytes) => hash.update(bytes));
    request.on('end', () => response.end(hash.digest('hex')));
  });
  const { port, pid } = await startProxy(t, server.target);
  const stop = watchMemory(pid);
  const down = crypto.createHash('sha1');
  await new Promise((done, fail) => {
    http.get({ port, host: '127.0.0.1' }, (answer) => {
      answer.on('data', (bytes) => down.update(bytes));
      answer.on('end', done);
      answer.on('error', fail);
    }).on('error', fail);
  });
  assert.equal(down.digest('hex'), wanted);
  for (const headers of [{ 'content-length': size }, {}]) {
    const answer = await new Promise((done, fail) => {
      const request = http.request({ port, host: '127.0.0.1', method: 'POST', headers }, (response) => {
        let text = '';
        response.on('data', (bytes) => { text += bytes; });
        response.on('end', () => done(text));
      });
      request.on('error', fail);
      pour(request, size, piece).catch(fail);
    });
    assert.equal(answer, wanted);
  }
  const memory = stop();
  assert.ok(memory.grown < 8 * MiB, `grew by ${memory.grown} bytes`);
});

test('HEAD and Expect: 100-continue, as curl sends them', async (t) => {
  let continued = 0;
  const server = await serve(t, (request, response) => {
    if (request.method === 'HEAD') {
      response.writeHead(200, { 'content-length': 12345, etag: '"x"' });
      response.end();
      return;
    }
    let length = 0;
    request.on('data', (bytes) => { length += bytes.length; });
    request.on('end', () => response.end(`got ${length}`));
  });
  server.on('checkContinue', (request, response) => {
    continued += 1;
    if (request.url === '/refuse') {
      response.writeHead(417, { connection: 'close' });
      response.end('no');
      return;
    }
    response.writeContinue();
    server.emit('request', request, response);
  });
  const { port } = await startProxy(t, server.target);
  const url = `http://127.0.0.1:${port}`;
  const head = await run('curl', ['-sSI', url]);
  assert.match(head.stdout, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(head.stdout, /content-length: 12345\r\n/i);
  const body = 'x'.repeat(2 * MiB);
  const put = await run('curl', ['-sS', '-T', '-', '-H', 'Expect: 100-continue', '--expect100-timeout', '30', url], { input: body, timeout: 10_000 });
  assert.equal(put.stdout, `got ${body.length}`);
  assert.equal(continued, 1);
  // What curl then does with the refusal's body differs from run to run: its status is what counts.
  const refused = await run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-T', '-', '-H', 'Expect: 100-continue',
    '--expect100-timeout', '30', `${url}/refuse`], { input: body, timeout: 10_000 });
  assert.equal(refused.stdout, '417');
});

test('HTTP/1.0, with and without keep-alive', async (t) => {
  const server = await serve(t, (request, response) => {
    response.write('part one, ');
    setTimeout(() => response.end('part two'), 20);
  });
  const { port } = await startProxy(t, server.target);
  const old = new Raw(port).send('GET / HTTP/1.0\r\n\r\n');
  await old.until(() => old.ended);
  assert.match(old.text, /^HTTP\/1\.1 200 OK\r\n/);
  assert.doesNotMatch(old.text, /transfer-encoding/i);
  assert.ok(old.text.endsWith('\r\n\r\npart one, part two'));
});

test('WebSocket: echo of text and large binary messages, and a clean close', { timeout: 60_000 }, async (t) => {
  const server = await serve(t, (request, response) => response.end('plain'));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })));
  const { port } = await startProxy(t, server.target);
  const client = new WebSocket(`ws://127.0.0.1:${port}/chat?x=1`);
  await within(5000, 'the upgrade', new Promise((done, fail) => { client.on('open', done); client.on('error', fail); }));
  const next = () => new Promise((done) => { client.once('message', (data, binary) => done({ data, binary })); });
  for (let i = 0; i < 50; i += 1) {
    const answer = next();
    client.send(`message ${i}`);
    assert.equal((await answer).data.toString(), `message ${i}`);
  }
  const large = crypto.randomBytes(16 * MiB);
  const answer = next();
  client.send(large);
  assert.ok((await within(20_000, 'the large message', answer)).data.equals(large));
  const closed = new Promise((done) => { client.on('close', (code) => done(code)); });
  client.close(1000);
  assert.equal(await within(5000, 'the close', closed), 1000);
  sockets.close();
});

test('Server-Sent Events arrive one by one', async (t) => {
  const server = await serve(t, (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let count = 0;
    const timer = setInterval(() => {
      count += 1;
      response.write(`data: ${count}\n\n`);
      if (count === 5) {
        clearInterval(timer);
        response.end();
      }
    }, 100);
  });
  const { port } = await startProxy(t, server.target);
  const times = [];
  await new Promise((done, fail) => {
    http.get({ port, host: '127.0.0.1' }, (answer) => {
      answer.on('data', () => times.push(Date.now()));
      answer.on('end', done);
    }).on('error', fail);
  });
  assert.equal(times.length, 5);
  for (let i = 1; i < times.length; i += 1) assert.ok(times[i] - times[i - 1] > 40, 'events came together');
});

test('an upstream that dies in the middle of its answer cuts the client off', async (t) => {
  const upstream = net.createServer((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
    socket.on('error', () => {});
  });
  await new Promise((done) => { upstream.listen(0, '127.0.0.1', done); });
  t.after(() => upstream.close());
  const { port } = await startProxy(t, `127.0.0.1:${upstream.address().port}`);
  await assert.rejects(new Promise((done, fail) => {
    http.get({ port, host: '127.0.0.1' }, (answer) => {
      answer.on('error', fail);
      answer.on('end', done);
      answer.resume();
    }).on('error', fail);
  }), /aborted|ECONNRESET|hang up/);
});

test('what could mean two things is answered 400 and closed, and never reaches the upstream', { timeout: 60_000 }, async (t) => {
  const seen = [];
  const server = await serve(t, (request, response) => {
    seen.push(request.url);
    response.end('fine');
  });
  const { port } = await startProxy(t, server.target);
  const evil = [
    'POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
    'POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n',
    'POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd',
    'POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd',
    'POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    'POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    'POST /e HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'GET /e HTTP/1.1\r\n\r\n',
    'GET /e HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
    'GET /e HTTP/1.1\r\nHost: a b\r\n\r\n',
    'GET http://a/e HTTP/1.1\r\nHost: b\r\n\r\n',
    'GET /e HTTP/1.1\nHost: a\n\n',
    'GET /e HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n',
    'GET /e HTTP/1.1\r\nHost: a\r\nX: nul\0\r\n\r\n',
    'GET  /e HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /e#fragment HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /%2e%2e/%2e%2e/etc HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /e HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n',
  ];
  for (const bytes of evil) {
    const client = new Raw(port).send(Buffer.from(bytes, 'latin1'));
    await client.until(() => client.ended || client.closed).catch((error) => {
      throw new Error(`${JSON.stringify(bytes)}: ${error.message}`);
    });
    // 501 is for a transfer coding that nobody knows.
    assert.match(client.text, /^HTTP\/1\.1 (400|501) /, JSON.stringify(bytes));
    assert.equal(client.text.match(/HTTP\/1\.1/g).length, 1, JSON.stringify(bytes));
    client.close();
  }
  const large = new Raw(port).send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`);
  await large.until(() => large.ended || large.closed);
  assert.match(large.text, /^HTTP\/1\.1 431 /);
  assert.deepEqual(seen, []);
});

test('requests wait for an upstream that starts later', { timeout: 60_000 }, async (t) => {
  const port = await freePort();
  const proxy = await startProxy(t, `127.0.0.1:${port}`);
  const answers = Array.from({ length: 20 }, (_, i) =>
    fetch(`http://127.0.0.1:${proxy.port}/${i}`, { method: i % 2 ? 'POST' : 'GET', body: i % 2 ? 'data' : undefined })
      .then((answer) => answer.text()));
  await sleep(1000);
  await serve(t, (request, response) => {
    let body = '';
    request.on('data', (bytes) => { body += bytes; });
    request.on('end', () => response.end(`${request.method} ${body}`));
  }, port);
  const texts = await within(20_000, 'the held requests', Promise.all(answers));
  assert.deepEqual(texts, texts.map((_, i) => (i % 2 ? 'POST data' : 'GET ')));
});

test('a client that leaves frees its upstream', async (t) => {
  let open = 0;
  const server = await serve(t, (request, response) => {
    open += 1;
    response.on('close', () => { open -= 1; });
    response.write('begun'); // and never ends
  });
  const { port } = await startProxy(t, server.target);
  const clients = Array.from({ length: 20 }, () => new Raw(port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  await until('all to be served', () => open === 20);
  for (const client of clients) client.close();
  await until('all to be freed', () => open === 0);
});

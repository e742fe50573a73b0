// `candela doctor`: what is wrong with a node is named, with what to do.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { Cloud } from './lib/cloud.mjs';
import { freePort } from './lib/ports.mjs';
import { CANDELA, run, tempDir } from './lib/program.mjs';

const doctor = (config) => run(CANDELA, ['doctor', '--config', config]);

test('doctor', async (t) => {
  const dir = tempDir(t, 'doctor');
  const data = path.join(dir, 'data');
  const [endpoint, bus] = [await freePort(), await freePort()];
  const config = path.join(dir, 'bus.toml');
  const profile = (more = '') => fs.writeFileSync(config, `
[node]
name = "n1"
roles = ["bus"]
data_dir = "${data}"
endpoint = "127.0.0.1:${endpoint}"
${more}
[bus]
listen = "127.0.0.1:${bus}"
`);
  profile();

  await t.test('a node that does not run, and a port that another has', async () => {
    const other = net.createServer().listen(bus, '127.0.0.1');
    await new Promise((done) => { other.on('listening', done); });
    const said = await doctor(config);
    other.close();
    assert.equal(said.code, 1);
    assert.match(said.stdout, /WRONG\s+node: does not run.*\n\s+systemctl start candela-bus/);
    assert.match(said.stdout, new RegExp(`WRONG\\s+port: .*${bus}.*, by .*\\(pid ${process.pid}\\)`));
    assert.match(said.stdout, /data folder: .* is not there yet/);
  });

  await t.test('a node that is well', async () => {
    await run(CANDELA, ['init', '--data-dir', data]);
    const cloud = new Cloud(t);
    cloud.start('n1', ['node', '--config', config]);
    await cloud.ready('n1', endpoint);
    const said = await doctor(config);
    assert.equal(said.code, 0, said.stdout + said.stderr);
    assert.match(said.stdout, /ok\s+node: n1 runs, and all of its roles are ready/);
    assert.match(said.stdout, /ok\s+disk: .* free of/);
    fs.writeFileSync(config, fs.readFileSync(config, 'utf8').replace('"n1"', '"n2"'));
    assert.match((await doctor(config)).stdout, /there is the node 'n1', not 'n2'/);
  });

  await t.test('a bus that is not there, and no credential', async () => {
    const gone = await freePort();
    const host = path.join(dir, 'host.toml');
    fs.writeFileSync(host, `
[node]
name = "h1"
roles = ["host"]
data_dir = "${path.join(dir, 'host')}"
endpoint = "127.0.0.1:${await freePort()}"
[bus]
url = "127.0.0.1:${gone}"
`);
    const said = await doctor(host);
    assert.equal(said.code, 1);
    assert.match(said.stdout, new RegExp(`WRONG\\s+bus: .*${gone} can't be reached`));
    assert.match(said.stdout, /WRONG\s+credential: .*host\.creds/);
  });

  await t.test('a profile with a mistake', async () => {
    profile('rols = []');
    const said = await doctor(config);
    assert.equal(said.code, 1);
    assert.match(said.stderr, /bus\.toml:7:1: .*rols/);
    assert.equal((await run(CANDELA, ['doctor', '--config', path.join(dir, 'nosuch.toml')])).code, 1);
  });
});

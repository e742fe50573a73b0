// Another machine, for what is shown between two: a network namespace with a cable to this one. Needs root.

import assert from 'node:assert/strict';
import { run } from './program.mjs';

let made = 0;

// Returns {name, ours, theirs, cable}: the addresses of both ends, and what unplugs the cable (`cable('down')`).
// Programs run there by `ip netns exec NAME`.
export async function makeMachine(t) {
  made += 1;
  const name = `candela-${process.pid}-${made}`;
  const device = `c${process.pid}x${made}`.slice(0, 13);
  // A network of its own for each, of the 16,384 with two addresses in 10.213.0.0/16.
  const number = (process.pid * 7 + made) % 16384;
  const at = (end) => `10.213.${number >> 6}.${(number & 63) * 4 + end}`;
  const [ours, theirs] = [at(1), at(2)];
  const ip = async (...args) => {
    const result = await run('ip', args);
    assert.equal(result.code, 0, `ip ${args.join(' ')}: ${result.stderr}`);
  };
  await ip('netns', 'add', name);
  t.after(() => run('ip', ['netns', 'del', name]));
  await ip('link', 'add', `${device}a`, 'type', 'veth', 'peer', 'name', `${device}b`, 'netns', name);
  await ip('addr', 'add', `${ours}/30`, 'dev', `${device}a`);
  await ip('link', 'set', `${device}a`, 'up');
  await ip('-n', name, 'addr', 'add', `${theirs}/30`, 'dev', `${device}b`);
  await ip('-n', name, 'link', 'set', `${device}b`, 'up');
  await ip('-n', name, 'link', 'set', 'lo', 'up');
  await ip('-n', name, 'route', 'add', 'default', 'via', ours);
  return { name, ours, theirs, cable: (state) => ip('link', 'set', `${device}a`, state) };
}
